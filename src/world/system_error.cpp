#include "world/system_error.h"

#include <cerrno>
#include <system_error>

#include <fmt/format.h>
#include <sys/resource.h>

namespace muster::world {
namespace {

std::string remedy(int error_number) {
  if (error_number == ENFILE) return "; the machine has no descriptors left (sysctl fs.file-max)";
  if (error_number != EMFILE) return {};
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return fmt::format(
      "; this process ran out of descriptors, its limit is {}: a rank needs three for each peer, "
      "raise the limit (ulimit -n)",
      limit.rlim_cur);
}

}  // namespace

Error system_error(const std::string& operation, int error_number) {
  const auto code = error_number == ENOMEM ? ErrorCode::out_of_memory : ErrorCode::system;
  // std::error_category: strerror() is not thread-safe.
  const std::string reason = std::system_category().message(error_number);
  return {code, fmt::format("{}: {}{}", operation, reason, remedy(error_number))};
}

}  // namespace muster::world

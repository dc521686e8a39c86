#include "transport/nccl/library.h"

#include "muster/error.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <optional>

namespace muster::transport::nccl {

namespace {

struct Opened {
  std::optional<Library> library;
  std::string trouble;
};

template <typename Function>
void look_up(void* handle, const char* name, Function& function, std::string& missing) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  if (function == nullptr) missing = name;
}

Opened open_library() {
  const char* chosen = std::getenv("MUSTER_NCCL");
  void* const handle = ::dlopen(chosen == nullptr ? "libnccl.so.2" : chosen, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return {std::nullopt, ::dlerror()};
  Library library{};
  std::string missing;
  look_up(handle, "ncclGetVersion", library.get_version, missing);
  look_up(handle, "ncclGetErrorString", library.error_string, missing);
  look_up(handle, "ncclGetLastError", library.last_error, missing);
  look_up(handle, "ncclGetUniqueId", library.unique_id, missing);
  look_up(handle, "ncclCommInitRankConfig", library.init, missing);
  look_up(handle, "ncclCommGetAsyncError", library.async_error, missing);
  look_up(handle, "ncclCommAbort", library.abort, missing);
  look_up(handle, "ncclAllGather", library.all_gather, missing);
  look_up(handle, "ncclSend", library.send, missing);
  look_up(handle, "ncclRecv", library.receive, missing);
  look_up(handle, "ncclGroupStart", library.group_start, missing);
  look_up(handle, "ncclGroupEnd", library.group_end, missing);
  if (!missing.empty()) return {std::nullopt, "it has no " + missing};
  library.get_version(&library.version);
  if (library.version < oldest_version) {
    return {std::nullopt,
            fmt::format("it is NCCL {}; muster needs {} or later",
                        version_text(library.version),
                        version_text(oldest_version))};
  }
  return {library, ""};
}

const Opened& opened() {
  static const Opened instance = open_library();
  return instance;
}

}  // namespace

const Library* library() {
  return opened().library ? &*opened().library : nullptr;
}

const std::string& why_no_library() {
  return opened().trouble;
}

std::string version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

void require(ncclResult_t result, std::string_view what) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  throw Error(ErrorCode::system,
              fmt::format("{}: NCCL {}: {} ({})",
                          what,
                          version_text(library()->version),
                          library()->error_string(result),
                          library()->last_error(nullptr)));
}

}  // namespace muster::transport::nccl

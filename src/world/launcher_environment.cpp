#include "world/launcher_environment.h"

#include "world/hello.h"

#include <muster/error.h>
#include <muster/world.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

namespace muster::world {
namespace {

constexpr const char* rank_variable = "MUSTER_RANK";
constexpr const char* size_variable = "MUSTER_WORLD_SIZE";
constexpr const char* rendezvous_variable = "MUSTER_RENDEZVOUS";
constexpr const char* token_variable = "MUSTER_TOKEN";
constexpr const char* remedy = "start with: muster run -n N program";

[[noreturn]] void refuse(const std::string& reason) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("launcher environment: {}; {}", reason, remedy));
}

// Shells cannot tell an empty variable from an unset one, so neither does this.
std::string_view value_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

int parse_integer(const char* variable, int lowest, int highest) {
  const std::string_view text = value_of(variable);
  const char* end = text.data() + text.size();
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < lowest || value > highest)
    refuse(fmt::format(
        "{} is '{}', not a whole number from {} to {}", variable, text, lowest, highest));
  return value;
}

}  // namespace

std::optional<LauncherEnvironment> read_launcher_environment() {
  std::string present;
  std::string missing;
  for (const char* variable : {rank_variable, size_variable, rendezvous_variable, token_variable}) {
    std::string& list = value_of(variable).empty() ? missing : present;
    list += list.empty() ? variable : fmt::format(", {}", variable);
  }
  if (present.empty()) return std::nullopt;
  if (!missing.empty()) refuse(fmt::format("{} set, but not {}", present, missing));

  LauncherEnvironment environment;
  environment.size = parse_integer(size_variable, 1, World::max_size);
  environment.rank = parse_integer(rank_variable, 0, environment.size - 1);
  environment.rendezvous = value_of(rendezvous_variable);
  environment.token = value_of(token_variable);
  if (environment.token.size() > max_token_bytes)
    refuse(fmt::format("{} has {} bytes, at most {} are allowed",
                       token_variable,
                       environment.token.size(),
                       max_token_bytes));
  return environment;
}

}  // namespace muster::world

#include <muster/error.h>

namespace muster {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::mismatch:
      return "mismatch";
    case ErrorCode::timeout:
      return "timeout";
    case ErrorCode::peer_lost:
      return "peer_lost";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::system:
      return "system";
  }
  return "unknown";
}

Error::Error(ErrorCode code, const std::string& message, std::optional<int> peer)
    : std::runtime_error(message), code_(code), peer_(peer) {}

// Defined here so that the type's identity lives in the library alone.
Error::~Error() = default;

}  // namespace muster

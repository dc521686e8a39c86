/// @file
/// The one exception type of muster.
#pragma once

#include <muster/export.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace muster {

/// What went wrong. Which calls throw which code is stated at each declaration.
enum class ErrorCode {
  invalid_argument,  ///< The caller's arguments are wrong. Nothing was sent; the caller may retry.
  mismatch,          ///< Members of a group disagree (shape, dtype, dimension, tag, group, place).
  timeout,           ///< A member did not take part within the time allowed.
  peer_lost,         ///< A member died, left, or aborted the communicator.
  out_of_memory,     ///< Memory or address space is exhausted.
  unsupported,       ///< This build, device or kernel cannot do it.
  system,            ///< The operating system refused a request (descriptors, sockets, threads),
                     ///< or CUDA failed.
};

/// The name of a code, as written in the enumeration ("peer_lost").
MUSTER_EXPORT std::string_view to_string(ErrorCode code) noexcept;

/// Thrown by every function of muster that fails. what() names the operation, the ranks and, where
/// two sides disagree, both sides' values.
class MUSTER_EXPORT Error : public std::runtime_error {
 public:
  /// @param peer the world rank to blame, when there is one.
  Error(ErrorCode code, const std::string& message, std::optional<int> peer = std::nullopt);
  ~Error() override;

  Error(const Error&) = default;
  Error& operator=(const Error&) = default;

  ErrorCode code() const noexcept { return code_; }

  /// The world rank at fault; the first in group order when several are (the message lists all).
  /// A rank that was itself missing (stopped, and woken into a failed communicator) finds its own.
  std::optional<int> peer() const noexcept { return peer_; }

 private:
  ErrorCode code_;
  std::optional<int> peer_;
};

}  // namespace muster

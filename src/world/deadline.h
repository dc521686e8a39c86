// Points in time by which a wait must end.
#pragma once

#include <algorithm>
#include <chrono>

namespace muster::world {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC: comparable between processes of a host
using Deadline = Clock::time_point;

// A timeout of years is as good as none, and can be counted in nanoseconds from now on.
inline std::chrono::milliseconds bounded(std::chrono::milliseconds timeout) {
  return std::min<std::chrono::milliseconds>(timeout, std::chrono::hours(24 * 3650));
}

inline Deadline deadline_after(std::chrono::milliseconds timeout) {
  return Clock::now() + bounded(timeout);
}

}  // namespace muster::world

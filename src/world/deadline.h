// Points in time by which a wait must end.
#pragma once

#include <algorithm>
#include <chrono>

namespace muster::world {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC: comparable between processes of a host
using Deadline = Clock::time_point;

// A timeout of years is as good as none, and its sum with now() cannot overflow.
inline Deadline deadline_after(std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 3650);
  return Clock::now() + std::min(timeout, longest);
}

}  // namespace muster::world

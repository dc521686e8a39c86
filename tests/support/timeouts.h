// Timeouts of tests under tools that slow everything down.
#pragma once

#include <chrono>
#include <cstdlib>

namespace muster::test {

// A timeout times MUSTER_TEST_TIMEOUT_FACTOR, a number, if that is set.
inline std::chrono::milliseconds scaled(std::chrono::milliseconds timeout) {
  const char* factor = std::getenv("MUSTER_TEST_TIMEOUT_FACTOR");
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      timeout * (factor == nullptr ? 1.0 : std::atof(factor)));
}

}  // namespace muster::test

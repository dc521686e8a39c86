// What a rank learnt of a failure, as it tells the test.
#pragma once

#include "support/process.h"

#include <muster/error.h>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace muster::test {

struct Lesson {
  std::string code;
  int peer = -1;  // -1: nobody
  std::string text;
  std::int64_t at_ns = 0;      // when it was learnt, of the clock that all processes share
  std::int64_t waited_ns = 0;  // since the call that failed began
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Lesson, code, peer, text, at_ns, waited_ns)

inline std::int64_t nanoseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

inline Lesson lesson_of(const Error& error, Clock::time_point call_began) {
  const auto now = Clock::now();
  return {std::string(to_string(error.code())),
          error.peer().value_or(-1),
          error.what(),
          nanoseconds(now.time_since_epoch()),
          nanoseconds(now - call_began)};
}

}  // namespace muster::test

// Catching muster::Error to look at it.
#pragma once

#include <muster/error.h>

#include <gmock/gmock.h>

#include <functional>
#include <stdexcept>

namespace muster::test {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What `call` throws. It is itself an error (another exception) when it throws nothing.
inline Error thrown_by(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("nothing was thrown where an error was due");
}

}  // namespace muster::test

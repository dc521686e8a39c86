// How the plan's value types refuse arguments.
#pragma once

#include "muster/error.h"

#include <string>

namespace muster {

[[noreturn]] inline void refuse(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

}  // namespace muster

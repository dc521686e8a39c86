// Checks of options' values, where CLI11's own would let nonsense pass.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace muster::tool {

// Seconds, from `least` to some thirty years: no infinity, no NaN, and nothing that overflows where
// it is counted in nanoseconds.
inline CLI::Validator seconds_from(double least) {
  return {[least](const std::string& text) -> std::string {
            double value = 0;
            if (CLI::detail::lexical_cast(text, value) && value >= least && value <= 1e9) return {};
            return text + " is not a time from " + CLI::detail::to_string(least) +
                   " to 1000000000 seconds";
          },
          ""};
}

}  // namespace muster::tool

// Checks of options' values, where CLI11's own would let nonsense pass.
#pragma once

#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdint>
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

// A whole number and nothing else: CLI11 takes "" for 0, "010" for 8, and "-1" for a large one
// where the option has no sign.
inline CLI::Validator whole_number_from(std::int64_t least, std::int64_t most) {
  return {[least, most](const std::string& text) -> std::string {
            std::int64_t value = 0;
            std::from_chars(text.data(), text.data() + text.size(), value);
            if (std::to_string(value) == text && value >= least && value <= most) return {};
            return "\"" + text + "\" is not a whole number from " + std::to_string(least) + " to " +
                   std::to_string(most);
          },
          ""};
}

}  // namespace muster::tool

// What a fuzz target defines: the bytes that come from another process, and what must hold of them.
// libFuzzer's interface, so that clang's -fsanitize=fuzzer can drive it as well as our own driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Reads one input. Returns 0; whatever must not happen ends the process.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace muster::fuzz {

using Input = std::vector<std::uint8_t>;

// Valid inputs, for a driver to mutate: random bytes alone do not get past the first check.
std::vector<Input> seeds();

}  // namespace muster::fuzz

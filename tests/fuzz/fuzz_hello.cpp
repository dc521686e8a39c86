#include "fuzz_target.h"

#include "world/hello.h"

#include <algorithm>
#include <cstdlib>
#include <span>

namespace muster::fuzz {

std::vector<Input> seeds() {
  std::vector<Input> inputs;
  for (const char* token : {"", "job", "a token of ordinary length, 3f2a9c"}) {
    const auto bytes = world::format_hello(
        {.rank = 1, .size = 4, .holder = 7, .arena_bytes = 1 << 30, .token = token});
    Input input(bytes.size());
    std::ranges::transform(
        bytes, input.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    inputs.push_back(input);
  }
  return inputs;
}

}  // namespace muster::fuzz

// A hello that is accepted says all that its bytes say: written again it is the same. What follows
// from it copes with any values.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::world;
  const std::span bytes = std::as_bytes(std::span(data, size));
  const std::optional<Hello> hello = parse_hello(bytes);
  if (!hello) return 0;
  if (hello->version == protocol_version && !std::ranges::equal(format_hello(*hello), bytes))
    std::abort();

  const Hello host{.rank = 0, .size = 4, .token = "job"};
  const Verdict verdict = judge(*hello, host);
  if (verdict == Verdict::welcome && (hello->rank <= host.rank || hello->rank >= host.size))
    std::abort();
  explain(verdict, *hello, host);
  return 0;
}

#include "bench/pattern.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace muster::tool {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{16} << 10;

// The generator splitmix64 (Steele, Lea, Flood 2014), addressed by index.
std::uint64_t word(std::uint64_t key, std::uint64_t index) {
  std::uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Calls `visit(place, expected bytes)` for bytes [begin, begin + size) of a rank's shard, in
// chunks; `place` counts from `begin`.
template <typename Visit>
void for_each_chunk(
    std::uint64_t seed, int rank, std::size_t begin, std::size_t size, Visit visit) {
  std::array<std::uint64_t, chunk_bytes / 8> words;
  const std::uint64_t key = word(seed, static_cast<std::uint64_t>(rank));
  for (std::size_t place = 0; place < size;) {
    const std::size_t skip = (begin + place) % 8;  // of the first word
    const std::size_t bytes = std::min(size - place, chunk_bytes - skip);
    const std::size_t first = (begin + place) / 8;
    for (std::size_t i = 0; i < (skip + bytes + 7) / 8; ++i) words[i] = word(key, first + i);
    visit(place, std::as_bytes(std::span(words)).subspan(skip, bytes));
    place += bytes;
  }
}

// The same for all of a gathered tensor; `place` counts from its beginning.
template <typename Visit>
void for_each_expected(const GatherPlan& plan, std::uint64_t seed, Visit visit) {
  for (std::size_t row = 0; row < plan.outer(); ++row) {
    for (int member = 0; member < plan.members(); ++member) {
      const std::size_t bytes = plan.row_bytes(member);
      const std::size_t run = row * plan.output_row_bytes() + plan.row_offset(member);
      for_each_chunk(seed, member, row * bytes, bytes, [&](std::size_t place, auto expected) {
        visit(run + place, expected);
      });
    }
  }
}

}  // namespace

void fill(std::span<std::byte> shard, std::uint64_t seed, int rank) {
  for_each_chunk(seed, rank, 0, shard.size(), [&](std::size_t place, auto expected) {
    std::memcpy(shard.data() + place, expected.data(), expected.size());
  });
}

void poison(std::span<std::byte> output, const GatherPlan& plan, std::uint64_t seed) {
  for_each_expected(plan, seed, [&](std::size_t place, auto expected) {
    std::transform(
        expected.begin(), expected.end(), output.data() + place, [](std::byte b) { return ~b; });
  });
}

std::size_t count_wrong(std::span<const std::byte> output,
                        const GatherPlan& plan,
                        std::uint64_t seed) {
  std::size_t wrong = 0;
  for_each_expected(plan, seed, [&](std::size_t place, auto expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) wrong += output[place + i] != expected[i];
  });
  return wrong;
}

}  // namespace muster::tool

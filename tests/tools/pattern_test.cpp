// The bench's check must itself be able to fail.
#include "bench/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace muster::tool {
namespace {

constexpr std::uint64_t seed = 7;

const GatherPlan& plan() {
  static const GatherPlan plan(
      std::vector<Shape>{{300, 3}, {300, 0}, {300, 61}}, DataType::int16, 1);
  return plan;
}

std::vector<std::byte> gathered() {
  std::vector<std::byte> output(plan().output_bytes());
  for (int member = 0; member < plan().members(); ++member) {
    const std::size_t bytes = plan().row_bytes(member);
    std::vector<std::byte> shard(plan().outer() * bytes);
    fill(shard, seed, member);
    for (std::size_t row = 0; row < plan().outer(); ++row) {
      std::copy_n(shard.begin() + static_cast<std::ptrdiff_t>(row * bytes),
                  bytes,
                  output.begin() + static_cast<std::ptrdiff_t>(row * plan().output_row_bytes() +
                                                               plan().row_offset(member)));
    }
  }
  return output;
}

TEST(Pattern, AGatheredTensorHasNoWrongByte) {
  EXPECT_EQ(count_wrong(gathered(), plan(), seed), 0u);
}

TEST(Pattern, APoisonedOneHasOnlyWrongBytes) {
  std::vector<std::byte> output = gathered();
  poison(output, plan(), seed);
  EXPECT_EQ(count_wrong(output, plan(), seed), output.size());
}

TEST(Pattern, OneFlippedBitIsOneWrongByte) {
  for (const std::size_t place : {std::size_t{0}, plan().output_bytes() / 2}) {
    std::vector<std::byte> output = gathered();
    output[place] ^= std::byte{1};
    EXPECT_EQ(count_wrong(output, plan(), seed), 1u);
  }
}

TEST(Pattern, AnotherSeedIsOtherData) {
  EXPECT_GT(count_wrong(gathered(), plan(), seed + 1), plan().output_bytes() * 9 / 10);
}

}  // namespace
}  // namespace muster::tool

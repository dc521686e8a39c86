// What host and device code of the cuda transport have in common, as far as it needs no GPU.
#include "transport/cuda/control.h"

#include <gtest/gtest.h>

namespace muster::transport::cuda {
namespace {

// The longest output that travels as packets, and so any byte and any row of its sections.
constexpr std::uint64_t most_bytes = Layout::packed_output(2);

TEST(CudaControl, FindsTheRowOfEveryByteWithoutADivision) {
  for (std::uint64_t row_bytes = 1; row_bytes <= most_bytes; ++row_bytes) {
    const std::uint64_t reciprocal = reciprocal_of(row_bytes);
    for (std::uint64_t row = 0; row * row_bytes <= most_bytes; ++row) {
      const std::uint64_t first = row * row_bytes;
      const std::uint64_t last = first + row_bytes - 1;
      ASSERT_EQ(first * reciprocal >> reciprocal_bits, row) << row_bytes << ' ' << first;
      ASSERT_EQ(last * reciprocal >> reciprocal_bits, row) << row_bytes << ' ' << last;
    }
  }
}

TEST(CudaControl, AMemberIsIdleWhenAllBlocksHaveLeftTheLastCall) {
  Own own{};
  EXPECT_TRUE(own.idle());
  own.started = 1;
  EXPECT_FALSE(own.idle());
  for (std::uint64_t& call : own.calls) {
    EXPECT_FALSE(own.idle());
    call = 1;
  }
  EXPECT_TRUE(own.idle());
  own.calls[3] = 2;  // before the block that says that the call has begun
  EXPECT_FALSE(own.idle());
}

}  // namespace
}  // namespace muster::transport::cuda

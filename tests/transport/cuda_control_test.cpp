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

TEST(CudaControl, DealsOutEveryBatchOfALongSectionOnce) {
  for (const std::uint32_t warps : {1U, 16U, 1024U}) {
    for (const std::uint32_t run : {1U, 2U, 3U}) {
      const std::uint32_t least = Deal::least_batches(warps);
      for (std::uint32_t batches = least + 1; batches <= least + 4 * warps;
           batches += 1 + warps / 7) {
        const Deal deal = Deal::of(batches, warps, run);
        std::uint32_t next = warps;  // those before are each a warp's own
        std::uint32_t ticket = 0;
        for (; next < batches; ++ticket) {
          ASSERT_EQ(deal.first(ticket), next) << warps << ' ' << run << ' ' << batches;
          next += deal.count(ticket);
        }
        ASSERT_EQ(next, batches) << warps << ' ' << run;
        const std::uint32_t last = deal.first(deal.runs);
        ASSERT_GE(batches - last, Deal::singles_a_warp * warps) << warps << ' ' << run;
        ASSERT_LT(batches - last, Deal::singles_a_warp * warps + run) << warps << ' ' << run;
      }
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

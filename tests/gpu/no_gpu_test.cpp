// What is asked of GPUs that there are not. Runs everywhere.
#include "gpu/gpu.h"

#include <gtest/gtest.h>

namespace muster::test {
namespace {

TEST(WithoutAGpu, AllocatingThereIsUnsupported) {
  if (have_gpu()) GTEST_SKIP() << "there is a GPU";
  auto worlds = World::threads(1);
  for (const std::size_t bytes : {0, 100}) {
    const Error error = require_error(
        ErrorCode::unsupported, "allocate", [&] { worlds[0].allocate(bytes, Device::cuda(0)); });
    require_text(error, {"no CUDA driver"});
  }
  EXPECT_EQ(worlds[0].allocate(100).size(), 100U) << "the CPU's memory is still there";
}

TEST(WithoutAGpu, ACommunicatorThereIsUnsupported) {
  if (have_gpu()) GTEST_SKIP() << "there is a GPU";
  auto worlds = World::threads(1);
  const Error error = require_error(ErrorCode::unsupported, "communicator", [&] {
    Communicator communicator(worlds[0], Group{0}, {.tag = "none", .device = Device::cuda(0)});
  });
  require_text(error, {"no CUDA driver"});
  Communicator again(worlds[0], Group{0}, {.tag = "none"});
}

TEST(WithAGpu, AnOrdinalThatThereIsNotIsInvalid) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  auto worlds = World::threads(1);
  for (const int ordinal : {-1, 1000}) {
    require_error(ErrorCode::invalid_argument, "allocate", [&] {
      worlds[0].allocate(100, Device::cuda(ordinal));
    });
  }
}

}  // namespace
}  // namespace muster::test

// What is asked of GPUs that there are not. Runs everywhere.
#include "gpu/gpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace muster::test {
namespace {

using ::testing::HasSubstr;

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

TEST(WithoutAGpu, EachMemberOfACommunicatorThereIsToldItsOwnReason) {
  if (have_gpu()) GTEST_SKIP() << "there is a GPU";
  auto worlds = World::threads(3);
  std::vector<std::thread> threads;
  std::vector<std::string> reasons(worlds.size());
  for (std::size_t r = 0; r < worlds.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        Communicator(worlds[r], Group{0, 1, 2}, {.device = Device::cuda(0)});
      } catch (const Error& error) {
        reasons[r] = described(error);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& reason : reasons) EXPECT_THAT(reason, HasSubstr("no CUDA driver"));
}

TEST(WithAGpu, AMemberThatNamesOneThatThereIsNotTellsTheOthers) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  as_threads(3, [](World& world) {
    CommunicatorOptions options = on_gpu("no such GPU");
    if (world.rank() == 1) options.device = Device::cuda(1000);
    const bool odd = world.rank() == 1;
    const Error error = require_error(
        odd ? ErrorCode::invalid_argument : ErrorCode::peer_lost, "communicator", [&] {
          Communicator communicator(world, Group{0, 1, 2}, options);
        });
    if (!odd) require_peer(error, 1);
    Communicator again(world, Group{0, 1, 2}, on_gpu("no such GPU"));
  });
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

// What a gather must not do once its communicator is warm. The allocator of this program counts.
#include "system_calls.h"

#include <muster/muster.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

thread_local long allocations = 0;

}  // namespace

// Not inlined: the compiler would take the pair for malloc mixed with delete.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace muster {
namespace {

constexpr int calls = 2000;

// Allocations of rank `rank` in `calls` gathers of 8 rows, after a few that warm up.
long allocations_of(World& world, std::int64_t columns, bool output_in_buffer) {
  Communicator communicator(world, Group{0, 1});
  const auto whole = static_cast<std::size_t>(16 * columns);
  std::vector<std::byte> shard(whole / 2);
  std::vector<std::byte> ordinary(whole);
  const Buffer buffer = world.allocate(whole);
  void* output = output_in_buffer ? buffer.data() : ordinary.data();
  const auto gather = [&] {
    communicator.all_gather({shard.data(), DataType::uint8, {8, columns}},
                            {output, DataType::uint8, {8, 2 * columns}},
                            -1);
  };
  for (int i = 0; i < 10; ++i) gather();
  const long before = allocations;
  for (int i = 0; i < calls; ++i) gather();
  return allocations - before;
}

void expect_no_allocation(std::int64_t columns, bool output_in_buffer) {
  std::vector<World> worlds = World::threads(2);
  std::vector<long> counted(2, -1);
  std::thread other([&] { counted[1] = allocations_of(worlds[1], columns, output_in_buffer); });
  counted[0] = allocations_of(worlds[0], columns, output_in_buffer);
  other.join();
  EXPECT_EQ(counted[0], 0);
  EXPECT_EQ(counted[1], 0);
}

TEST(FastPath, CountsTheAllocationsOfThisProgram) {
  const long before = allocations;
  const std::vector<int> some(100);
  EXPECT_GT(allocations, before);
}

TEST(FastPath, OfAShortSectionAllocatesNothing) {
  expect_no_allocation(64, true);
}

TEST(FastPath, OfAPushAllocatesNothing) {
  expect_no_allocation(8192, true);
}

TEST(FastPath, OfAStagedSectionAllocatesNothing) {
  expect_no_allocation(8192, false);
}

// A batch of gathers is quiet when none of its ranks makes a system call. On a busy machine a rank
// may have to wait long for one that lost its core, and sleeps; so one quiet batch of many will do.
class QuietBatches {
 public:
  static constexpr int gathers = 100;
  static constexpr int most = 20000;

  explicit QuietBatches(std::int64_t columns) : columns_(columns) {}

  bool any() {
    std::thread other([this] { run(1); });
    run(0);
    other.join();
    return found_;
  }

 private:
  void run(int rank) {
    World& world = worlds_[static_cast<std::size_t>(rank)];
    Communicator communicator(world, Group{0, 1});
    const auto whole = static_cast<std::size_t>(16 * columns_);
    const std::vector<std::byte> shard(whole / 2);
    const Buffer full = world.allocate(whole);
    const std::byte stops{0};
    std::byte all_stop[2] = {};
    const test::SystemCalls system_calls;
    for (int batch = 0; batch < most && !found_; ++batch) {
      const bool noisy = system_calls.made_by([&] {
        for (int i = 0; i < gathers; ++i) {
          communicator.all_gather({shard.data(), DataType::uint8, {8, columns_}},
                                  {full.data(), DataType::uint8, {8, 2 * columns_}},
                                  -1);
        }
      });
      // The ranks learn of each other whether the batch was quiet, so that both stop together.
      const std::byte mine{noisy};
      communicator.all_gather({&mine, DataType::uint8, {1}}, {all_stop, DataType::uint8, {2}}, 0);
      if (all_stop[0] == stops && all_stop[1] == stops) found_ = true;
    }
  }

  const std::int64_t columns_;
  std::vector<World> worlds_ = World::threads(2);
  std::atomic<bool> found_ = false;
};

bool ranks_may_outnumber_cores() {
  return std::thread::hardware_concurrency() < 2;
}

TEST(FastPath, NoticesSystemCalls) {
  if (!test::SystemCalls::can_be_noticed()) GTEST_SKIP() << "the kernel has no user dispatch";
  const test::SystemCalls system_calls;
  EXPECT_TRUE(system_calls.made_by([] { ::getppid(); }));
  EXPECT_FALSE(system_calls.made_by([] {}));
}

TEST(FastPath, OfAShortSectionMakesNoSystemCall) {
  if (!test::SystemCalls::can_be_noticed()) GTEST_SKIP() << "the kernel has no user dispatch";
  if (ranks_may_outnumber_cores()) GTEST_SKIP() << "two ranks sleep on less than two cores";
  EXPECT_TRUE(QuietBatches(64).any());
}

TEST(FastPath, OfAPushMakesNoSystemCall) {
  if (!test::SystemCalls::can_be_noticed()) GTEST_SKIP() << "the kernel has no user dispatch";
  if (ranks_may_outnumber_cores()) GTEST_SKIP() << "two ranks sleep on less than two cores";
  EXPECT_TRUE(QuietBatches(4096).any());
}

}  // namespace
}  // namespace muster

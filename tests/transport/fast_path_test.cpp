// What a gather must not do once its communicator is warm. The allocator of this program counts.
#include <muster/muster.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

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
  const auto whole = static_cast<std::size_t>(8 * 2 * columns);
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

}  // namespace
}  // namespace muster

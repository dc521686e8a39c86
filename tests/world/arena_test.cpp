#include "world/arena.h"

#include <gtest/gtest.h>

namespace muster::world {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

TEST(ArenaOf, FreeNeighboursServesWhatNeitherAloneCan) {
  HostArena arena(64 * mib);
  arena.free(arena.allocate(30 * mib));  // committed from now on, the rest is not
  const Range large = arena.allocate(50 * mib);
  EXPECT_EQ(large.bytes, 50 * mib);
  arena.free(large);
}

}  // namespace
}  // namespace muster::world

#include "world/arena.h"

#include "muster/error.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

namespace muster::world {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

// What the kernel says of the mapping at an address, proc(5): "VmFlags: rd wr sh …".
std::string flags_of_mapping(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t dash = line.find('-');
    if (dash != std::string::npos && dash < line.find(' ')) {
      here = std::stoull(line, nullptr, 16) == wanted;
    } else if (here && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return "";
}

TEST(ArenaOf, ACrashedRankIsNoPartOfItsCore) {
  const HostArena arena(64 * mib);
  const std::string flags = flags_of_mapping(arena.base());
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
}

class Nobody final : public Hold {
 public:
  std::optional<int> holder() const noexcept override { return std::nullopt; }
};

class Somebody final : public Hold {
 public:
  std::optional<int> holder() const noexcept override {
    return gone ? std::nullopt : std::optional(3);
  }
  bool gone = false;
};

TEST(ArenaOf, RangesThatAreHeldKeepsThemFromUseUntilTheirHoldersAreGone) {
  HostArena arena(4 * mib);
  const Range range = arena.allocate(3 * mib);
  const auto hold = std::make_shared<Somebody>();
  arena.quarantine(range, hold);
  EXPECT_EQ(arena.holder({range.offset + 5, 1}), 3);
  arena.quarantine(range, std::make_shared<Nobody>());
  arena.free(range);
  EXPECT_THROW(arena.allocate(3 * mib), Error);
  hold->gone = true;
  EXPECT_EQ(arena.holder(range), std::nullopt);
  EXPECT_EQ(arena.allocate(3 * mib).offset, range.offset);
  EXPECT_FALSE(arena.any_quarantined());
}

TEST(ArenaOf, FreeNeighboursServesWhatNeitherAloneCan) {
  HostArena arena(64 * mib);
  arena.free(arena.allocate(30 * mib));  // committed from now on, the rest is not
  const Range large = arena.allocate(50 * mib);
  EXPECT_EQ(large.bytes, 50 * mib);
  arena.free(large);
}

}  // namespace
}  // namespace muster::world

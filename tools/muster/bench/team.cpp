#include "bench/team.h"

#include "machine/processor.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <numeric>

namespace muster::tool {

// Zeroed memory is a valid board. The values of two turns alternate: who writes those of a turn has
// passed the barrier of the turn before, which its slowest reader of the last but one reached too.
struct Team::Board {
  alignas(64) std::atomic<std::uint32_t> arrived;
  alignas(64) std::atomic<std::uint32_t> generation;
  alignas(64) std::array<std::array<double, World::max_size>, 2> values;
};

Team::Team(World& world)
    : rank_(world.rank()),
      size_(world.size()),
      spins_(world.size() <= usable_cores() ? 1 << 20 : 0),
      memory_(share_memory(world, world.rank() == 0 ? sizeof(Board) : 0)),
      board_(reinterpret_cast<Board*>(memory_.front().bytes().data())) {}

void Team::barrier() {
  auto& generation = board_->generation;
  const std::uint32_t current = generation.load();
  if (board_->arrived.fetch_add(1) + 1 == static_cast<std::uint32_t>(size_)) {
    board_->arrived.store(0);
    generation.store(current + 1);
    ::syscall(SYS_futex, &generation, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    return;
  }
  for (int spin = 0; spin < spins_ && generation.load() == current; ++spin) {
  }
  while (generation.load() == current) {
    ::syscall(SYS_futex, &generation, FUTEX_WAIT, current, nullptr, nullptr, 0);
  }
}

std::span<const double> Team::share(double value) {
  auto& values = board_->values[turn_++ % 2];
  values[static_cast<std::size_t>(rank_)] = value;
  barrier();
  return std::span<const double>(values).first(static_cast<std::size_t>(size_));
}

double Team::reduce_max(std::span<const double> values) {
  return *std::max_element(values.begin(), values.end());
}

double Team::sum(double value) {
  const auto values = share(value);
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace muster::tool

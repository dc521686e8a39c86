// The ranks of a benchmark, meeting outside of what is timed.
#pragma once

#include "bench/mapping.h"

#include <muster/world.h>

#include <cstdint>
#include <span>
#include <vector>

namespace muster::tool {

// Barriers and small reductions over shared memory, the same for ranks as threads, as processes and
// under mpiexec, and independent of what is measured.
class Team {
 public:
  explicit Team(World& world);  // every rank of the world makes one

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }

  void barrier();
  double max(double value) { return reduce_max(share(value)); }
  double sum(double value);
  double from_first(double value) { return share(value).front(); }  // what rank 0 passed

 private:
  struct Board;

  std::span<const double> share(double value);  // everyone's, until the next but one call
  static double reduce_max(std::span<const double> values);

  int rank_;
  int size_;
  int spins_;  // looks at the barrier before it sleeps
  std::vector<Mapping> memory_;
  Board* board_;
  std::uint32_t turn_ = 0;  // counts the calls of share
};

}  // namespace muster::tool

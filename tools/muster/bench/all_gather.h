// `muster bench all_gather`, as one of its ranks.
#pragma once

#include "bench/contender.h"
#include "bench/options.h"

#include <muster/world.h>

#include <string>

namespace muster::tool {

// Another library to measure beside muster.
struct Peers {
  std::string version;
  MakeContenders make;
};

// Measures all cases; rank 0 prints. Every rank calls it; its result is the exit status, the same
// for all.
int bench_all_gather(World& world, const BenchOptions& options, const Peers& peers = {});

}  // namespace muster::tool

// `muster bench create`, as one of its ranks.
#pragma once

#include "bench/options.h"

#include <muster/world.h>

namespace muster::tool {

// Times the making of a communicator of all ranks, and counts its control memory; rank 0 prints.
// Every rank calls it.
int bench_create(World& world, const BenchOptions& options);

}  // namespace muster::tool

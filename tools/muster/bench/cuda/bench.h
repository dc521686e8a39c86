// `muster bench all_gather --device cuda`.
#pragma once

#include "bench/options.h"

#include <muster/world.h>

namespace muster::tool {

// What must be set before CUDA starts. No effect afterwards.
void prepare_for_cuda();

// As bench_all_gather(), with the tensors on GPUs: rank r uses device r modulo their number. In
// no_bench.cpp, for a build without CUDA, throws Failure.
int bench_all_gather_on_gpus(World& world, const BenchOptions& options);

}  // namespace muster::tool

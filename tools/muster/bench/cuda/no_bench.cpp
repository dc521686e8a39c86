// Stands in for bench.cpp in a build without CUDA.
#include "bench/cuda/bench.h"
#include "exit_status.h"

namespace muster::tool {

void prepare_for_cuda() {}

int bench_all_gather_on_gpus(World&, const BenchOptions&) {
  throw Failure("bench: this muster was built without CUDA");
}

}  // namespace muster::tool

// The suite on GPUs by NCCL.
#include "conformance/cuda_memory.h"

#include <algorithm>
#include <cstdlib>

namespace muster::test {
namespace {

class NcclMemory : public CudaMemory {
 public:
  CommunicatorOptions options(const World& world) const override {
    CommunicatorOptions result = CudaMemory::options(world);
    result.transport = muster::Transport::nccl;
    return result;
  }
  // NCCL asks that communicators of one device are not used at once in different orders.
  int threads_at_once(int, int) const override { return 1; }
  // Each has buffers of NCCL's, and takes a good part of a second to make.
  int communicators(int wanted) const override { return std::min(wanted, 12); }
};

}  // namespace

const Memory& memory_of_the_suite() {
  static const NcclMemory memory;
  return memory;
}

Sizes sizes_of_the_suite() {
  // Read when NCCL starts: several ranks on a GPU (from 2.30 on), for which it has no multicast.
  ::setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);
  ::setenv("NCCL_NVLS_ENABLE", "0", 1);
  if (!have_gpus()) return {};
  return {.as_threads = {1, 2, 3, 4}, .as_processes = {2}};
}

}  // namespace muster::test

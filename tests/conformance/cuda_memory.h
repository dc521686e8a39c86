// Tensors on GPUs: rank r uses device r modulo their number, so that with one GPU all ranks share
// it.
#pragma once

#include "conformance/transport.h"

#include <cstddef>

namespace muster::test {

// Does this machine have a GPU? Says so if not. Sets what CUDA reads when it starts: each stream
// its own queue, and no module loaded while a kernel waits.
bool have_gpus();

// Everything is done on the stream of the calling thread: what waits for the whole device would
// also wait for a kernel that waits for this rank.
class CudaMemory : public Memory {
 public:
  Block allocate(World& world, Place place, std::size_t bytes) const override;
  void copy(void* to, const void* from, std::size_t bytes) const override;
  CommunicatorOptions options(const World& world) const override;
  Stream stream() const override;
  int threads_at_once(int ranks, int wanted) const override;
  void finish(Communicator& communicator) const override;
};

}  // namespace muster::test

// The suite on GPUs.
#include "conformance/cuda_memory.h"

namespace muster::test {

const Memory& memory_of_the_suite() {
  static const CudaMemory memory;
  return memory;
}

Sizes sizes_of_the_suite() {
  if (!have_gpus()) return {};
  return {.as_threads = {1, 2, 3, 4, 8}, .as_processes = {2, 4}};
}

}  // namespace muster::test

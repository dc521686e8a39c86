// Small pieces of host memory that GPUs have mapped.
#pragma once

#include <cstddef>
#include <memory>

namespace muster::transport::cuda {

struct ReturnPinned {
  std::size_t bytes = 0;
  void operator()(std::byte* memory) const noexcept;
};
using Pinned = std::unique_ptr<std::byte, ReturnPinned>;

// Zeroed, aligned to 128 bytes, at the same address for host and devices. What is returned is used
// again but stays pinned: cudaFreeHost waits for all kernels of the process, also for one that
// waits for a peer (measured). All devices have it mapped; `ordinal` is one that this process uses.
// Thread-safe. Throws out_of_memory, system.
Pinned allocate_pinned(std::size_t bytes, int ordinal);

}  // namespace muster::transport::cuda

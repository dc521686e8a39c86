#include "transport/nccl/scratch.h"

#include "transport/cuda/relaxed_capture.h"
#include "world/cuda/driver.h"

#include <bit>

namespace muster::transport::nccl {

Scratch::~Scratch() {
  for (void* memory : memory_) cudaFreeAsync(memory, service_);
}

std::byte* Scratch::room_for(std::size_t bytes) {
  if (bytes > size_) {
    const cuda::RelaxedCapture relaxed;
    const std::size_t size = std::bit_ceil(bytes);
    // From the stream's pool: cudaMalloc may wait for kernels that wait for this rank.
    void* memory = nullptr;
    world::cuda::require(cudaMallocAsync(&memory, size, service_), "allocating scratch memory");
    memory_.push_back(memory);
    world::cuda::require(cudaStreamSynchronize(service_), "allocating scratch memory");
    size_ = size;
  }
  return memory_.empty() ? nullptr : static_cast<std::byte*>(memory_.back());
}

}  // namespace muster::transport::nccl

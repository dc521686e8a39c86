// Memory of the device that NCCL gathers into when the output's rows are not where NCCL would put
// them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <vector>

namespace muster::transport::nccl {

class Scratch {
 public:
  // `service` belongs to the device, and carries nothing that waits for a peer.
  explicit Scratch(cudaStream_t service) : service_(service) {}
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // At least so many bytes, the same memory as before if that suffices. Memory that became too
  // small is kept: gathers under way, and captured ones, use it. It at least doubles every time, so
  // that all of it is at most twice what is needed. Throws out_of_memory.
  std::byte* room_for(std::size_t bytes);

 private:
  const cudaStream_t service_;
  std::size_t size_ = 0;  // of the last one
  std::vector<void*> memory_;
};

}  // namespace muster::transport::nccl

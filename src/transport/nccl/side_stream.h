// A stream beside the caller's.
#pragma once

#include <cuda_runtime_api.h>

namespace muster::transport::nccl {

// NCCL, when it may not block, enqueues on threads of its own, where the stream of the thread that
// called, cudaStreamPerThread, is another one. What is meant for it takes a way around.
class SideStream {
 public:
  SideStream();  // on the current device
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  // A stream that any thread may name, behind what is on `stream`: that one itself, where it may.
  cudaStream_t fork(cudaStream_t stream);
  // What comes on `stream` from now on is behind what is on its fork.
  void join(cudaStream_t stream);

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

}  // namespace muster::transport::nccl

#include "transport/nccl/side_stream.h"

#include "world/cuda/driver.h"

namespace muster::transport::nccl {

using world::cuda::require;

SideStream::SideStream() {
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  const cudaError_t status = cudaEventCreateWithFlags(&event_, cudaEventDisableTiming);
  if (status != cudaSuccess) cudaStreamDestroy(stream_);
  require(status, "making an event");
}

SideStream::~SideStream() {
  cudaEventDestroy(event_);
  cudaStreamDestroy(stream_);
}

cudaStream_t SideStream::fork(cudaStream_t stream) {
  if (stream != cudaStreamPerThread) return stream;
  require(cudaEventRecord(event_, stream), "recording an event");
  require(cudaStreamWaitEvent(stream_, event_, 0), "ordering two streams");
  return stream_;
}

void SideStream::join(cudaStream_t stream) {
  if (stream != cudaStreamPerThread) return;
  require(cudaEventRecord(event_, stream_), "recording an event");
  require(cudaStreamWaitEvent(stream, event_, 0), "ordering two streams");
}

}  // namespace muster::transport::nccl

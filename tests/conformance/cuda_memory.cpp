#include "conformance/cuda_memory.h"

#include "support/timeouts.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace muster::test {
namespace {

void require_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}

int devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  return status == cudaSuccess ? count : 0;
}

// Which device the calling thread's rank uses is not known here: the world says it.
int device_of(const World& world) {
  return world.rank() % std::max(devices(), 1);
}

void use(const World& world) {
  require_cuda(cudaSetDevice(device_of(world)), "cudaSetDevice");
}

}  // namespace

bool have_gpus() {
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
  ::setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  if (devices() > 0) return true;
  std::puts("no GPU here: the tests on GPUs are not run");
  return false;
}

Block CudaMemory::allocate(World& world, Place place, std::size_t bytes) const {
  use(world);
  if (place == Place::buffer) {
    auto buffer = std::make_shared<Buffer>(world.allocate(bytes, Device::cuda(device_of(world))));
    return {buffer->data(), buffer};
  }
  void* memory = nullptr;
  require_cuda(cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 1), cudaStreamPerThread),
               "cudaMallocAsync");
  require_cuda(cudaStreamSynchronize(cudaStreamPerThread), "cudaMallocAsync");
  return {static_cast<std::byte*>(memory),
          std::shared_ptr<void>(memory, [](void* m) { cudaFreeAsync(m, cudaStreamPerThread); })};
}

void CudaMemory::copy(void* to, const void* from, std::size_t bytes) const {
  require_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cudaStreamPerThread), "copy");
  require_cuda(cudaStreamSynchronize(cudaStreamPerThread), "copy");
}

CommunicatorOptions CudaMemory::options(const World& world) const {
  use(world);
  return {.timeout = scaled(World::default_timeout),
          .device = Device::cuda(device_of(world)),
          .transport = muster::Transport::cuda};
}

Stream CudaMemory::stream() const {
  return Stream(cudaStreamPerThread);
}

// A GPU has 32 queues; what is behind a waiting gather in one of them waits too.
int CudaMemory::threads_at_once(int ranks, int wanted) const {
  return std::clamp(16 / ranks, 1, wanted);
}

void CudaMemory::finish(Communicator& communicator) const {
  require_cuda(cudaStreamSynchronize(cudaStreamPerThread), "gather");
  communicator.check();
}

}  // namespace muster::test

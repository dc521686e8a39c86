// The suite on GPUs: rank r uses device r modulo their number, so that with one GPU all ranks share
// it.
#include "conformance/transport.h"

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
  return world.rank() % devices();
}

// Everything is done on the stream of the calling thread: what waits for the whole device would
// also wait for a kernel that waits for this rank.
class CudaMemory : public Memory {
 public:
  Block allocate(World& world, Place place, std::size_t bytes) const override {
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
  void copy(void* to, const void* from, std::size_t bytes) const override {
    require_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cudaStreamPerThread), "copy");
    require_cuda(cudaStreamSynchronize(cudaStreamPerThread), "copy");
  }
  CommunicatorOptions options(const World& world) const override {
    use(world);
    return {.device = Device::cuda(device_of(world))};
  }
  Stream stream() const override { return Stream(cudaStreamPerThread); }
  // A GPU has 32 queues; what is behind a waiting gather in one of them waits too.
  int threads_at_once(int ranks, int wanted) const override {
    return std::clamp(16 / ranks, 1, wanted);
  }
  void finish(Communicator& communicator) const override {
    require_cuda(cudaStreamSynchronize(cudaStreamPerThread), "gather");
    communicator.check();
  }

 private:
  static void use(const World& world) {
    require_cuda(cudaSetDevice(device_of(world)), "cudaSetDevice");
  }
};

}  // namespace

const Memory& memory_of_the_suite() {
  static const CudaMemory memory;
  return memory;
}

Sizes sizes_of_the_suite() {
  // Read when CUDA starts: each stream its own queue, and no module loaded while a kernel waits.
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
  ::setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  if (devices() == 0) {
    std::puts("no GPU here: the tests on GPUs are not run");
    return {};
  }
  return {.as_threads = {1, 2, 3, 4, 8}, .as_processes = {2, 4}};
}

}  // namespace muster::test

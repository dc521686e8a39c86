#include "gpu/gpu.h"

namespace muster::test {
namespace {

__device__ std::uint64_t nanoseconds() {
  std::uint64_t value;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(value));
  return value;
}

__global__ void spin(std::uint64_t time_ns) {
  const std::uint64_t began = nanoseconds();
  while (nanoseconds() - began < time_ns) {
  }
}

__global__ void trap() {
  asm volatile("trap;");
}

}  // namespace

void hold_up_by_kernel(const OwnStream& stream, std::chrono::nanoseconds time) {
  spin<<<1, 1, 0, stream.get()>>>(static_cast<std::uint64_t>(time.count()));
  require_cuda(cudaGetLastError());
}

void fault_by_kernel(const OwnStream& stream) {
  trap<<<1, 1, 0, stream.get()>>>();
  if (cudaStreamSynchronize(stream.get()) == cudaSuccess) throw std::runtime_error("no fault");
}

}  // namespace muster::test

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

}  // namespace

void hold_up_by_kernel(const OwnStream& stream, std::chrono::nanoseconds time) {
  spin<<<1, 1, 0, stream.get()>>>(static_cast<std::uint64_t>(time.count()));
  require_cuda(cudaGetLastError());
}

}  // namespace muster::test

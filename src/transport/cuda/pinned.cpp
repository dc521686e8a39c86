#include "transport/cuda/pinned.h"

#include "world/cuda/driver.h"

#include <cuda_runtime_api.h>

#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace muster::transport::cuda {

namespace {

constexpr std::size_t slab_bytes = 256 << 10;

// Of this process; never destroyed, since devices may outlive it.
struct Pool {
  std::mutex mutex;
  std::map<std::size_t, std::vector<std::byte*>> returned;  // by size
  std::byte* slab = nullptr;
  std::size_t left = 0;
};

Pool& pool() {
  static auto* const instance = new Pool;
  return *instance;
}

}  // namespace

void ReturnPinned::operator()(std::byte* memory) const noexcept {
  const std::lock_guard lock(pool().mutex);
  pool().returned[bytes].push_back(memory);
}

Pinned allocate_pinned(std::size_t bytes, int ordinal) {
  const std::size_t rounded = (bytes + 127) / 128 * 128;
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  auto& returned = p.returned[rounded];
  std::byte* memory = nullptr;
  if (!returned.empty()) {
    memory = returned.back();
    returned.pop_back();
  } else {
    if (p.left < rounded) {
      const world::cuda::CurrentDevice current(ordinal);
      void* slab = nullptr;
      world::cuda::require(
          cudaHostAlloc(&slab, slab_bytes, cudaHostAllocMapped | cudaHostAllocPortable),
          "allocating pinned memory");
      p.slab = static_cast<std::byte*>(slab);
      p.left = slab_bytes;
    }
    memory = p.slab;
    p.slab += rounded;
    p.left -= rounded;
  }
  std::memset(memory, 0, rounded);
  return {memory, ReturnPinned{rounded}};
}

}  // namespace muster::transport::cuda

// Blocks of World::allocate by their address, as allocators of engines want them.
#pragma once

#include <muster/buffer.h>
#include <muster/device.h>
#include <muster/world.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace muster::tensorrt {

// Thread-safe. Movable while nobody uses it.
class ArenaMemory {
 public:
  ArenaMemory(std::shared_ptr<World> world, Device device);

  // Aligned to a power of two, or to 0: any. Null for no bytes, and when there is no memory.
  void* allocate(std::uint64_t bytes, std::uint64_t alignment) noexcept;

  // What allocate() returned, null included; false for another address.
  bool free(void* memory) noexcept;

 private:
  std::shared_ptr<World> world_;
  Device device_;
  std::unique_ptr<std::mutex> mutex_;
  std::map<void*, Buffer> blocks_;
};

}  // namespace muster::tensorrt

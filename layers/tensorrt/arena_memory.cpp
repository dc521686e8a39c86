#include "arena_memory.h"

#include <exception>
#include <utility>

namespace muster::tensorrt {

namespace {

// What every Buffer of a device is aligned to.
std::uint64_t least_alignment(Device device) {
  return device == Device::cpu() ? 128 : 512;
}

}  // namespace

ArenaMemory::ArenaMemory(std::shared_ptr<World> world, Device device)
    : world_(std::move(world)), device_(device), mutex_(std::make_unique<std::mutex>()) {}

void* ArenaMemory::allocate(std::uint64_t bytes, std::uint64_t alignment) noexcept {
  const std::uint64_t least = least_alignment(device_);
  const std::uint64_t slack = alignment > least ? alignment - least : 0;
  std::uint64_t whole = 0;
  if (bytes == 0 || __builtin_add_overflow(bytes, slack, &whole)) return nullptr;
  try {
    Buffer buffer = world_->allocate(whole, device_);
    void* place = buffer.data();
    std::size_t room = buffer.size();
    if (alignment != 0) std::align(alignment, bytes, place, room);
    const std::lock_guard lock(*mutex_);
    blocks_.emplace(place, std::move(buffer));
    return place;
  } catch (const std::exception&) {
    return nullptr;
  }
}

bool ArenaMemory::free(void* memory) noexcept {
  if (memory == nullptr) return true;
  const std::lock_guard lock(*mutex_);
  return blocks_.erase(memory) == 1;
}

}  // namespace muster::tensorrt

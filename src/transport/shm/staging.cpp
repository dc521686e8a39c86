#include "transport/shm/staging.h"

namespace muster::transport::shm {

void Staging::require() {
  if (range_) return;
  range_ = endpoint_.state->arena().allocate(bytes);
  endpoint_.own().doorbell().staging_offset.store(range_->offset, std::memory_order_release);
}

std::byte* Staging::piece(std::size_t number, std::size_t section_bytes) const noexcept {
  const std::size_t slot = number % depth(section_bytes);
  return endpoint_.state->arena().base() + range_->offset + slot * piece_bytes(section_bytes);
}

const std::byte* Staging::piece_of(int i,
                                   std::size_t number,
                                   std::size_t section_bytes) const noexcept {
  const world::Mapping& arena = endpoint_.state->arena_of(endpoint_.group[i]);
  const std::size_t offset =
      endpoint_.of(i).doorbell().staging_offset.load(std::memory_order_acquire);
  if (offset > arena.bytes() || arena.bytes() - offset < bytes) return nullptr;
  return arena.base() + offset + number % depth(section_bytes) * piece_bytes(section_bytes);
}

}  // namespace muster::transport::shm

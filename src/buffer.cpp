#include "muster/buffer.h"

#include "world/allocation.h"

#include <utility>

namespace muster {

Buffer::Buffer() noexcept = default;
Buffer::Buffer(std::unique_ptr<world::Allocation> allocation) noexcept
    : allocation_(std::move(allocation)) {}
Buffer::~Buffer() = default;
Buffer::Buffer(Buffer&&) noexcept = default;
Buffer& Buffer::operator=(Buffer&&) noexcept = default;

std::byte* Buffer::data() const noexcept {
  return allocation_ ? allocation_->data() : nullptr;
}
std::size_t Buffer::size() const noexcept {
  return allocation_ ? allocation_->bytes() : 0;
}

}  // namespace muster

/// @file
/// Memory that peers can reach.
#pragma once

#include <muster/export.h>

#include <cstddef>
#include <memory>
#include <span>

namespace muster {

namespace world {
class Allocation;
}

/// Memory from World::allocate that every peer of the world can reach, so that a gather into or
/// from it takes one copy. Owns the memory; movable. Aligned to 128 bytes,
/// on a GPU to 512; contents unspecified.
///
/// A Buffer may be destroyed at any time, also after its World. One on a GPU must be kept until the
/// gathers that use it have ended on their streams and Communicator::check(), or the next call, has
/// said that they did well, or the communicator is gone; and as long as a graph that has captured
/// one may be launched. Memory that a peer could still write (after a failed gather) is
/// given out again only when that peer has acknowledged or died.
class MUSTER_EXPORT Buffer {
 public:
  Buffer() noexcept;  ///< empty: data() is null, size() is 0
  explicit Buffer(std::unique_ptr<world::Allocation> allocation) noexcept;  ///< for World
  ~Buffer();
  Buffer(Buffer&&) noexcept;
  Buffer& operator=(Buffer&&) noexcept;

  std::byte* data() const noexcept;   ///< on a GPU for kernels and CUDA's copies, not the CPU
  std::size_t size() const noexcept;  ///< bytes, as asked for
  std::span<std::byte> bytes() const noexcept { return {data(), size()}; }

 private:
  std::unique_ptr<world::Allocation> allocation_;
};

}  // namespace muster

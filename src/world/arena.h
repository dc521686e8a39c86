// The memory of one rank that its peers can reach.
#pragma once

#include "world/unique_fd.h"

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace muster::world {

// A whole arena in this process' address space.
class Mapping {
 public:
  // Of this rank's own arena (`own`) or a peer's. Neither is inherited by forked children.
  // Throws out_of_memory when the address space is exhausted.
  Mapping(int fd, std::size_t bytes, bool own);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::byte* base() const noexcept { return base_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* base_;
  std::size_t bytes_;
};

struct Range {
  std::size_t offset = 0;
  std::size_t bytes = 0;

  std::size_t end() const noexcept { return offset + bytes; }
  bool overlaps(const Range& other) const noexcept {
    return offset < other.end() && other.offset < end();
  }
};

// Says whether a peer could still write somewhere.
class Hold {
 public:
  virtual ~Hold() = default;
  // The world rank of a peer that has neither acknowledged nor died; nothing once all have.
  virtual std::optional<int> holder() const noexcept = 0;
};

// A sparse memfd, and what is carved from it. Ranges are committed when they are carved, so that a
// peer's store never faults on a hole. Thread-safe.
class Arena {
 public:
  static constexpr std::size_t alignment = 128;

  // Throws out_of_memory, or system when descriptors have run out.
  explicit Arena(std::size_t bytes);

  int fd() const noexcept { return fd_.get(); }
  const std::shared_ptr<Mapping>& mapping() const noexcept { return mapping_; }
  std::byte* base() const noexcept { return mapping_->base(); }

  // Carves `bytes`; contents unspecified unless `zeroed`. Throws out_of_memory.
  Range allocate(std::size_t bytes, bool zeroed = false);

  // Gives a range back. What is held stays out of use until its holders are gone.
  void free(Range range) noexcept;

  // Keeps a range out of use while `hold` has a holder.
  void quarantine(Range range, std::shared_ptr<const Hold> hold);

  // Is any range held? A look at one word.
  bool any_quarantined() const noexcept {
    return quarantined_count_.load(std::memory_order_acquire) != 0;
  }

  // The peer that could still write to `range`, if any.
  std::optional<int> holder(Range range);

  // The offset of an address range that lies in the arena.
  std::optional<std::size_t> offset_of(const void* data, std::size_t bytes) const noexcept;

 private:
  struct FreeRange {
    std::size_t bytes;
    bool committed;
  };
  using FreeRanges = std::map<std::size_t, FreeRange>;  // by offset; neighbours are coalesced
  struct Quarantined {
    Range range;
    std::shared_ptr<const Hold> hold;
  };

  FreeRanges::iterator find_free(std::size_t bytes);
  void insert_free(Range range, bool committed);
  void commit(Range range);
  void decommit_surplus() noexcept;
  void sweep();

  UniqueFd fd_;
  std::shared_ptr<Mapping> mapping_;

  std::mutex mutex_;
  FreeRanges free_;
  std::size_t idle_bytes_ = 0;  // committed and free
  std::vector<Quarantined> quarantined_;
  std::vector<Range> retired_;  // freed while quarantined
  std::atomic<std::size_t> quarantined_count_ = 0;
};

// How large an arena to make for each of `ranks` on this machine: sparse, so address space is its
// only cost. MUSTER_ARENA_BYTES overrides. Throws invalid_argument when that is not a number.
std::size_t default_arena_bytes(int ranks);

}  // namespace muster::world

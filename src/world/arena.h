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
  // Forked children do not inherit it. Nor is it part of a core: to dump a sparse file is to fill
  // its holes, and a crash is noticed only after the dump. Throws out_of_memory when the address
  // space is exhausted.
  Mapping(int fd, std::size_t bytes);
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

// A range of addresses whose places mean the same to every peer, and what is carved from it. It is
// sparse: ranges are committed when they are carved, so that a peer's store never faults on a hole.
// What kind of memory it is, a derived class says. Thread-safe.
class Arena {
 public:
  virtual ~Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* base() const noexcept { return base_; }
  std::size_t bytes() const noexcept { return bytes_; }

  // Carves `bytes`; contents unspecified unless `zeroed`. Throws out_of_memory.
  Range allocate(std::size_t bytes, bool zeroed = false);

  // Gives a range back. What is held, also by `hold` if there is one, stays out of use until its
  // holders are gone.
  void free(Range range, std::shared_ptr<const Hold> hold = nullptr) noexcept;

  // Keeps a range out of use while `hold` has a holder. Waits for no allocate(), which may be
  // waiting for the watcher that calls this.
  void quarantine(Range range, std::shared_ptr<const Hold> hold);

  // Is any range held? A look at one word.
  bool any_quarantined() const noexcept {
    return quarantined_count_.load(std::memory_order_acquire) != 0;
  }

  // The peer that could still write to `range`, if any.
  std::optional<int> holder(Range range);

  // The offset of an address range that lies in the arena.
  std::optional<std::size_t> offset_of(const void* data, std::size_t bytes) const noexcept;

 protected:
  // Ranges begin at multiples of `alignment` bytes.
  Arena(std::byte* base, std::size_t bytes, std::size_t alignment);

 private:
  // Puts memory behind a range, where there is none yet, that every peer can reach when it returns.
  // Throws out_of_memory. One call at a time.
  virtual void commit(Range range) = 0;
  // Gives the memory of whole pages back; false if it stays.
  virtual bool decommit(Range range) noexcept = 0;
  virtual void zero(Range range) = 0;

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
  void decommit_idle();
  bool is_held(Range range) const;
  void release_quarantined();
  void sweep();

  std::byte* const base_;
  const std::size_t bytes_;
  const std::size_t alignment_;

  std::mutex mutex_;
  FreeRanges free_;
  std::size_t idle_bytes_ = 0;  // committed and free
  std::vector<Range> retired_;  // freed while quarantined

  std::mutex quarantine_mutex_;  // taken behind the other one
  std::vector<Quarantined> quarantined_;
  std::atomic<std::size_t> quarantined_count_ = 0;
};

// The arena in the machine's own memory: a sparse memfd.
class HostArena final : public Arena {
 public:
  // Throws out_of_memory, or system when descriptors have run out.
  explicit HostArena(std::size_t bytes);

  int fd() const noexcept { return memory_.fd.get(); }
  const std::shared_ptr<Mapping>& mapping() const noexcept { return memory_.mapping; }

 private:
  struct Memory {
    explicit Memory(std::size_t bytes);
    UniqueFd fd;
    std::shared_ptr<Mapping> mapping;
  };
  explicit HostArena(Memory memory);
  void commit(Range range) override;
  bool decommit(Range range) noexcept override;
  void zero(Range range) override;

  Memory memory_;
};

// How large an arena to make for each of `ranks` on this machine: sparse, so address space is its
// only cost. MUSTER_ARENA_BYTES overrides. Throws invalid_argument when that is not a number.
std::size_t default_arena_bytes(int ranks);

}  // namespace muster::world

// What every arena begins with: the words by which ranks of a world watch and find each other.
#pragma once

#include "muster/world.h"
#include "world/futex.h"

#include <linux/futex.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace muster::world {

// One peer's view of whether this rank lives: a robust futex that this rank's watcher thread holds.
// When the thread dies, however it dies, the kernel sets FUTEX_OWNER_DIED and wakes one waiter,
// which is why each peer has a word of its own. (linux/Documentation/locking/robust-futex-ABI.rst)
struct LifeLine {
  robust_list node;  // the owner's; the kernel follows it when the owner dies
  FutexWord word;    // the holder's thread id with FUTEX_WAITERS; or one of the following
};
constexpr std::uint32_t life_unborn = 0;             // the rank has not started its watcher
constexpr std::uint32_t life_left = FUTEX_TID_MASK;  // the rank has left the world in order

// A notice that a rank has pinned up for others to read (see board.h). The post's memory lies in
// the rank's arena: `members` words, then `bytes` of content, rounded up to 8-byte words.
//
// `held` has a bit for each member by position, 32 a word, that holds what the post tells of. Above
// the bits stands the post's id, or its complement once the post is closed: others then hold no
// more. All in one word, so that a member's bit and the closing come one after the other.
struct BoardEntry {
  static constexpr std::size_t held_a_word = 32;

  std::atomic<std::uint64_t> key;      // hash of what the post is about
  std::atomic<std::uint32_t> id;       // 0: the entry is free
  std::atomic<std::uint32_t> phase;    // a Phase, and above its 8 bits a Blame (board.cpp)
  std::atomic<std::uint64_t> offset;   // of the post's memory
  std::atomic<std::uint32_t> members;  // group size
  std::atomic<std::uint32_t> bytes;    // of the content
  std::array<std::atomic<std::uint64_t>, World::max_size / held_a_word> held;
};
static_assert(sizeof(BoardEntry) == 64);

struct Board {
  static constexpr std::size_t capacity = 1024;

  FutexWord generation;             // counts changes; readers sleep on it
  FutexWord sleepers;               // how many sleep
  std::atomic<std::uint32_t> used;  // entries at and above this were never used
  std::array<BoardEntry, capacity> entries;
};

// What a caller of World::survivors proposes: members by position in the group.
struct SurvivorsProposal {
  std::atomic<std::uint64_t> round;
  std::array<std::atomic<std::uint64_t>, World::max_size / 64> alive;
};

// A cell in which the callers of World::survivors on one group decide; it lies with the group's
// first rank, whose arena outlives it. `decided` holds round << 32 | (1 + the deciding rank).
struct SurvivorsCell {
  std::atomic<std::uint64_t> key;  // hash of the group; 0: the cell is free
  std::atomic<std::uint64_t> decided;
  std::array<SurvivorsProposal, World::max_size> proposals;  // by world rank
};

struct WorldControl {
  static constexpr std::size_t survivors_cells = 32;

  alignas(64) FutexWord attention;  // bumped by whoever wants this rank's watcher to look around
  alignas(64) std::array<LifeLine, World::max_size> life;  // by the rank of the observer
  alignas(64) Board board;
  alignas(64) std::array<SurvivorsCell, survivors_cells> survivors;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace muster::world

#include "fuzz_target.h"

#include "world/arena.h"
#include "world/board.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

using namespace muster;
using namespace muster::world;

// A board as a peer could have left it: the input is its first entries and the memory of its posts.
class PeersBoard {
 public:
  PeersBoard() : writer_(arena_, control()) {}

  void write(const std::uint8_t* data, std::size_t size) {
    const std::size_t first = std::min(size, entries_bytes);
    const std::size_t rest = std::min(size - first, memory_bytes);
    std::memset(static_cast<void*>(entries()), 0, entries_bytes);
    std::memset(memory(), 0, memory_bytes);
    std::copy_n(data, first, reinterpret_cast<std::uint8_t*>(entries()));  // data may be null
    std::copy_n(data + first, rest, reinterpret_cast<std::uint8_t*>(memory()));
    control().board.used.store(entries_count);
  }

  muster::fuzz::Input bytes() {
    muster::fuzz::Input input(entries_bytes + memory_bytes);
    std::memcpy(input.data(), static_cast<const void*>(entries()), entries_bytes);
    std::memcpy(input.data() + entries_bytes, memory(), memory_bytes);
    return input;
  }

  BoardReader reader() { return {control(), *arena_.mapping()}; }
  BoardWriter& writer() { return writer_; }

 private:
  static constexpr std::size_t entries_count = 3;
  static constexpr std::size_t entries_bytes = entries_count * sizeof(BoardEntry);
  static constexpr std::size_t memory_bytes = 768;

  WorldControl& control() {
    return *reinterpret_cast<WorldControl*>(arena_.base() + control_range_.offset);
  }
  BoardEntry* entries() { return control().board.entries.data(); }
  std::byte* memory() { return arena_.base() + control_range_.end(); }

  static constexpr std::size_t page = 4096;
  HostArena arena_{(sizeof(WorldControl) / page + 2) * page};
  const Range control_range_ = arena_.allocate(sizeof(WorldControl), true);
  BoardWriter writer_;
};

PeersBoard& board() {
  static PeersBoard board;
  return board;
}

}  // namespace

namespace muster::fuzz {

std::vector<Input> seeds() {
  const std::vector<std::byte> body(24, std::byte{7});
  PinnedPost first(board().writer(), {Topic::communicator, Group{0, 1}, "a tag"}, body);
  PinnedPost second(board().writer(), {Topic::exchange, Group{2, 0, 1}, ""}, {});
  first.mark_seen(1, 4);
  second.fail(Blame{.rank = 1, .lost = true});
  return {board().bytes()};
}

}  // namespace muster::fuzz

// Whatever a peer has left on its board can be read, and what passes as a post is whole.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  board().write(data, size);
  const BoardReader reader = board().reader();
  for (const Post& post : reader.all()) {
    if (post.id == 0) std::abort();
    if (post.seen.size() != static_cast<std::size_t>(post.subject.group.size())) std::abort();
    if (const auto found = reader.find_any(post.subject)) {
      if (found->subject != post.subject) std::abort();
      if (!reader.phase(*found)) std::abort();
      if (reader.blame(*found) && found->phase != Phase::failed) std::abort();
    }
  }
  return 0;
}

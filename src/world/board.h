// Notices that ranks pin up for each other: how everything that is not a gather is agreed.
//
// Each rank has a board in its arena. It alone writes the posts there, among them the words by
// which it says whose posts it has seen. Readers sleep on the board's generation.
#pragma once

#include "muster/group.h"
#include "world/arena.h"
#include "world/control.h"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::world {

enum class Topic : std::uint8_t { communicator = 1, exchange = 2, survivors = 3 };

enum class Phase : std::uint32_t {
  waiting = 1,   // posted; the poster has not yet found every member's post
  complete = 2,  // the poster has read every member's post
  failed = 3,    // the poster has given up; the post stays up for a while to say so
};

// On whose account a member has given up: a rank that is lost or has itself given up, or one that
// did not come.
struct Blame {
  int rank = 0;
  bool lost = false;
};

// What a post is about. Posts with the same subject belong together.
struct Subject {
  Topic topic = Topic::communicator;
  Group group = Group::range(1);
  std::string tag;

  std::uint64_t key() const noexcept;  // never 0
  friend bool operator==(const Subject&, const Subject&) = default;
};

struct SubjectHash {
  std::size_t operator()(const Subject& subject) const noexcept { return subject.key(); }
};

// Which post of a board, by the entry that it is in.
struct PostName {
  std::uint32_t id = 0;
  std::size_t entry = 0;
};

// A post as a reader copied it.
struct Post : PostName {
  Phase phase = Phase::waiting;
  Subject subject;
  std::vector<std::byte> body;
  std::vector<std::uint32_t> seen;  // by position: the id of the member's post that the poster read
};

// A reader's view of some rank's board, in any process. Everything read is checked and copied.
class BoardReader {
 public:
  BoardReader(WorldControl& control, const Mapping& arena) : board_(control.board), arena_(arena) {}

  std::uint32_t generation() const noexcept;
  void sleep(std::uint32_t generation, Deadline deadline) noexcept;  // until it is another one
  void wake() noexcept;  // all who sleep on the board, in any process

  std::optional<Post> find(const Subject& subject) const;      // one that has not failed
  std::optional<Post> find_any(const Subject& subject) const;  // also one that has
  std::vector<Post> find_all(const Subject& subject) const;
  std::vector<Post> all() const;

  // The phase of a post found before; nothing when it has been taken down since.
  std::optional<Phase> phase(const PostName& post) const noexcept;

  // Why the poster has given up, where it said so. The rank may be any.
  std::optional<Blame> blame(const PostName& post) const noexcept;

  // Holds what a post found before tells of, as the member at `position`: its owner uses none of
  // that for anything else until release(). False when the post is closed or has been taken down.
  bool hold(const PostName& post, int position) noexcept;
  void release(const PostName& post, int position) noexcept;
  bool held(const PostName& post, int position) const noexcept;

  // Has the owner closed it, or taken it down? Nobody meets there any more.
  bool is_closed(const PostName& post) const noexcept;

 private:
  std::optional<Post> read(std::size_t index) const;
  std::span<const BoardEntry> used_entries() const noexcept;

  Board& board_;
  const Mapping& arena_;
};

// This rank's own board, as its writer. Thread-safe.
class BoardWriter {
 public:
  BoardWriter(Arena& arena, WorldControl& control) : arena_(arena), board_(control.board) {}

 private:
  friend class PinnedPost;

  // Memory of short posts stays with the board. A rank may be reading a post when it is taken down,
  // and to write anything but a post's atomic words there would be a race, though one without
  // consequence. What is longer is a blob; unless its meeting fails, all have read it by then.
  static constexpr std::size_t shortest_kept = 128;
  static constexpr std::size_t longest_kept = 4096;
  Range take_memory(std::size_t bytes);
  void give_back(Range memory) noexcept;  // with the mutex held

  BoardEntry& claim_entry();
  void changed() noexcept;

  Arena& arena_;
  Board& board_;
  std::mutex mutex_;
  std::vector<Range> kept_;      // of no post, with room for all that there are
  std::size_t short_posts_ = 0;  // for which there is memory, kept or in use
  std::uint32_t last_id_ = 0;
};

// A post on this rank's own board; taken down by the destructor.
class PinnedPost {
 public:
  // Throws out_of_memory when the arena or the board is full.
  PinnedPost(BoardWriter& writer, const Subject& subject, std::span<const std::byte> body);
  ~PinnedPost();
  PinnedPost(const PinnedPost&) = delete;
  PinnedPost& operator=(const PinnedPost&) = delete;

  std::uint32_t id() const noexcept { return id_; }
  PostName name() const noexcept;
  void mark_seen(int position, std::uint32_t id) noexcept;
  void set_phase(Phase phase) noexcept;
  void fail(const std::optional<Blame>& blame) noexcept;  // the phase, and why

  void close() noexcept;  // nobody holds it from now on who does not already

  // The post stays up for good: its rank leaves the world.
  void leave_up() noexcept { entry_ = nullptr; }

 private:
  BoardWriter& writer_;
  Range memory_;
  BoardEntry* entry_;
  std::uint32_t id_;
};

}  // namespace muster::world

// A rank's share of its world: what World, Buffer and Communicator keep alive.
#pragma once

#include "muster/group.h"
#include "world/arena.h"
#include "world/board.h"
#include "world/control.h"
#include "world/device_memory.h"
#include "world/launcher_environment.h"
#include "world/liveness.h"
#include "world/parcels.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace muster::world {

// A post that stays up after its meeting: for a while, so that members who come late learn how the
// meeting ended, and while anybody holds what it tells of.
struct LingeringPost {
  LingeringPost(BoardWriter& board, const Subject& subject, std::span<const std::byte> body)
      : post(board, subject, body) {}

  PinnedPost post;
  Deadline until = {};
  std::shared_ptr<const Hold> hold = nullptr;
};

class State {
 public:
  // This process' rank of the launcher's world, or a world of its own without a launcher; the same
  // one in every call, while it lives.
  static std::shared_ptr<State> join(std::chrono::milliseconds timeout);
  // The worlds of `size` ranks in this process.
  static std::vector<std::shared_ptr<State>> threads(int size);

  State(int rank, int size, std::size_t arena_bytes);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return static_cast<int>(arenas_.size()); }
  HostArena& arena() noexcept { return arena_; }
  Liveness& liveness() noexcept { return *liveness_; }
  BoardWriter& board() noexcept { return board_; }
  Parcels& parcels() noexcept { return parcels_; }

  // Memory of devices other than the CPU, set up at the first use. Throws unsupported where this
  // build or machine has none.
  DeviceMemory& device_memory();
  bool uses_devices();

  // Any rank's arena, this rank's own included, as mapped here.
  const Mapping& arena_of(int rank) const noexcept {
    return *arenas_[static_cast<std::size_t>(rank)];
  }
  WorldControl& control_of(int rank) const noexcept;
  BoardReader board_of(int rank) const noexcept { return {control_of(rank), arena_of(rank)}; }

  // Do the ranks of this world outnumber the cores that they may use?
  bool oversubscribed() const noexcept { return oversubscribed_; }

  // Is this the process that made the object? A forked child inherits objects but no arenas.
  bool in_own_process() const noexcept {
    return forks_ == forks_so_far.load(std::memory_order_relaxed);
  }

  // Throws unsupported in a forked child.
  void require_own_process(std::string_view operation) const {
    if (!in_own_process()) throw_forked(operation);
  }

  // Throws invalid_argument unless the group's ranks are of this world and include this one, and
  // unsupported in a forked child.
  void require_member(const Group& group, std::string_view operation) const;

  // Marks a subject as in use by this rank, waiting until the deadline for another thread to
  // release it; false if it has not.
  bool claim(const Subject& subject, Deadline deadline);
  void release(const Subject& subject);

  // Takes one post over from a list, without allocating.
  void linger(std::list<LingeringPost>& post) noexcept;
  // Takes down what has lingered long enough.
  void take_down_lingering() noexcept;

  // The round of World::survivors that this rank took part in last, by subject.
  std::uint32_t survivors_round(const Subject& subject);
  void set_survivors_round(const Subject& subject, std::uint32_t round);

 private:
  static std::shared_ptr<State> join_once(const std::optional<LauncherEnvironment>& environment,
                                          Deadline deadline);
  static void count_forks();
  [[noreturn]] void throw_forked(std::string_view operation) const;
  void connect(std::vector<std::shared_ptr<Mapping>> arenas,
               std::vector<Liveness::Peer> peers,
               std::vector<UniqueFd> sockets);

  const int rank_;
  static inline std::atomic<std::uint32_t> forks_so_far = 0;  // between this process and the first
  const std::uint32_t forks_ = forks_so_far.load(std::memory_order_relaxed);
  bool oversubscribed_ = false;
  HostArena arena_;
  std::vector<std::shared_ptr<Mapping>> arenas_;  // by rank
  BoardWriter board_;
  Parcels parcels_;  // the watcher calls it
  std::unique_ptr<Liveness> liveness_;

  std::mutex claims_mutex_;
  std::condition_variable claims_changed_;
  std::unordered_set<Subject, SubjectHash> claims_;

  std::mutex device_memory_mutex_;
  std::unique_ptr<DeviceMemory> device_memory_;  // takes parcels in: goes before the watcher does

  std::mutex lingering_mutex_;
  std::list<LingeringPost> lingering_;

  std::mutex rounds_mutex_;
  std::unordered_map<Subject, std::uint32_t, SubjectHash> survivors_rounds_;
};

// A subject in use by this rank, while the object lives.
class Claim {
 public:
  // Waits until the deadline; owns() is false when another thread still has the subject.
  Claim(State& state, Subject subject, Deadline deadline)
      : state_(state), subject_(std::move(subject)), owns_(state.claim(subject_, deadline)) {}
  ~Claim() {
    if (owns_ && state_.in_own_process()) state_.release(subject_);
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  bool owns() const noexcept { return owns_; }
  const Subject& subject() const noexcept { return subject_; }

 private:
  State& state_;
  const Subject subject_;
  const bool owns_;
};

}  // namespace muster::world

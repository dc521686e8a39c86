#include "world/state.h"

#include "muster/error.h"
#include "world/launcher_environment.h"
#include "world/limits.h"
#include "world/rendezvous.h"
#include "world/system_error.h"

#include <fmt/format.h>

#include <pthread.h>

#include <algorithm>
#include <new>

namespace muster::world {

namespace {

// How long a failed post stays up.
constexpr auto lingering_time = std::chrono::seconds(10);

// So many at most: a program that tries again and again must not fill the board with failures.
constexpr std::size_t most_lingering = Board::capacity / 4;

// A forked child must touch neither the arenas, which it does not have, nor threads and mappings
// that are its parent's.
void destroy_in_own_process(State* state) {
  if (state->in_own_process()) delete state;
}

std::shared_ptr<State> make_state(int rank, int size, std::size_t arena_bytes) {
  return {new State(rank, size, arena_bytes), destroy_in_own_process};
}

// The turn of the one thread that joins. A std::timed_mutex would do, but the thread sanitizer of
// GCC 12 does not see how it is locked.
class JoinTurn {
 public:
  explicit JoinTurn(Deadline deadline) {
    std::unique_lock lock(mutex_);
    if (!ended_.wait_until(lock, deadline, [] { return !taken_; })) {
      throw Error(ErrorCode::timeout, "World::join: another thread of this process is still in it");
    }
    taken_ = true;
  }

  ~JoinTurn() {
    const std::lock_guard lock(mutex_);
    taken_ = false;
    ended_.notify_one();
  }

  JoinTurn(const JoinTurn&) = delete;
  JoinTurn& operator=(const JoinTurn&) = delete;

 private:
  static inline std::mutex mutex_;
  static inline std::condition_variable ended_;
  static inline bool taken_ = false;
};

}  // namespace

// Not inherited by a program that the child executes; posix_spawn and vfork do not come here.
void State::count_forks() {
  static const int registered = ::pthread_atfork(
      nullptr, nullptr, [] { forks_so_far.fetch_add(1, std::memory_order_relaxed); });
  if (registered != 0) throw system_error("pthread_atfork", registered);
}

void State::throw_forked(std::string_view operation) const {
  throw Error(ErrorCode::unsupported,
              fmt::format("{}: this process was forked from rank {} and has none of its memory; a "
                          "child may only execute another program or end",
                          operation,
                          rank_));
}

State::State(int rank, int size, std::size_t arena_bytes)
    : rank_(rank),
      oversubscribed_(size > usable_cores()),
      arena_(arena_bytes),
      arenas_(static_cast<std::size_t>(size)),
      board_(arena_, *reinterpret_cast<WorldControl*>(arena_.base())) {
  count_forks();
  const Range control = arena_.allocate(sizeof(WorldControl), true);
  if (control.offset != 0)
    throw Error(ErrorCode::system, "an arena does not begin with its control");
  arenas_[static_cast<std::size_t>(rank)] = arena_.mapping();
  liveness_ = std::make_unique<Liveness>(rank, control_of(rank));
}

State::~State() {
  for (LingeringPost& lingering : lingering_) lingering.post.leave_up();
}

void State::connect(std::vector<std::shared_ptr<Mapping>> arenas,
                    std::vector<Liveness::Peer> peers,
                    std::vector<UniqueFd> sockets) {
  arenas_ = std::move(arenas);
  std::vector<WorldControl*> controls;
  for (int r = 0; r < size(); ++r) controls.push_back(&control_of(r));
  parcels_.open(std::move(sockets), std::move(controls));
  liveness_->add(parcels_);
  for (Liveness::Peer& peer : peers) {
    peer.control = &control_of(peer.rank);
    peer.socket = parcels_.socket(peer.rank);
  }
  liveness_->watch(std::move(peers));
}

// One process is one rank, whoever in it joins: a program, and libraries that know nothing of it.
std::shared_ptr<State> State::join(std::chrono::milliseconds timeout) {
  static std::optional<std::weak_ptr<State>> joined;
  const Deadline deadline = deadline_after(timeout);
  const JoinTurn turn(deadline);
  if (!joined) {
    auto state = join_once(read_launcher_environment(), deadline);
    joined = state;
    return state;
  }
  auto state = joined->lock();
  if (!state) {
    throw Error(ErrorCode::invalid_argument,
                "World::join: this process has joined its world before, and left it");
  }
  state->require_own_process("World::join");
  return state;
}

std::shared_ptr<State> State::join_once(const std::optional<LauncherEnvironment>& environment,
                                        Deadline deadline) {
  if (!environment) return make_state(0, 1, default_arena_bytes(1));

  auto state =
      make_state(environment->rank, environment->size, default_arena_bytes(environment->size));
  auto links =
      world::meet(*environment, state->arena().fd(), state->arena().mapping()->bytes(), deadline);
  std::vector<std::shared_ptr<Mapping>> arenas = state->arenas_;
  std::vector<Liveness::Peer> peers;
  std::vector<pid_t> processes;
  std::vector<UniqueFd> sockets(links.size());
  for (int r = 0; r < environment->size; ++r) {
    if (r == environment->rank) continue;
    PeerLink& link = links[static_cast<std::size_t>(r)];
    if (link.arena_bytes < sizeof(WorldControl)) {
      throw Error(
          ErrorCode::mismatch, fmt::format("World::join: the arena of rank {} is too small", r), r);
    }
    arenas[static_cast<std::size_t>(r)] =
        std::make_shared<Mapping>(link.arena.get(), link.arena_bytes);
    link.arena.reset();
    processes.push_back(link.pid);
    peers.push_back({.rank = r, .pidfd = std::move(link.pidfd)});
    sockets[static_cast<std::size_t>(r)] = std::move(link.socket);
  }
  state->oversubscribed_ = environment->size > usable_cores(processes);
  state->connect(std::move(arenas), std::move(peers), std::move(sockets));
  return state;
}

std::vector<std::shared_ptr<State>> State::threads(int size) {
  std::vector<std::shared_ptr<State>> states;
  std::vector<std::shared_ptr<Mapping>> arenas;
  const std::size_t arena_bytes = default_arena_bytes(size);
  for (int r = 0; r < size; ++r) {
    states.push_back(make_state(r, size, arena_bytes));
    arenas.push_back(states.back()->arena().mapping());
  }
  for (int r = 0; r < size; ++r) {
    std::vector<Liveness::Peer> peers;
    for (int p = 0; p < size; ++p) {
      if (p != r) peers.push_back({.rank = p});
    }
    states[static_cast<std::size_t>(r)]->connect(arenas, std::move(peers), {});
  }
  return states;
}

DeviceMemory& State::device_memory() {
  const std::lock_guard lock(device_memory_mutex_);
  if (!device_memory_) device_memory_ = make_device_memory(*this);
  return *device_memory_;
}

bool State::uses_devices() {
  const std::lock_guard lock(device_memory_mutex_);
  return device_memory_ != nullptr;
}

WorldControl& State::control_of(int rank) const noexcept {
  return *reinterpret_cast<WorldControl*>(arena_of(rank).base());
}

void State::require_member(const Group& group, std::string_view operation) const {
  require_own_process(operation);
  for (const int rank : group.ranks()) {
    if (rank >= size()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: group {} has rank {}, outside the world of {} ranks",
                              operation,
                              group.to_string(),
                              rank,
                              size()));
    }
  }
  if (!group.position(rank_)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: rank {} is not in group {}", operation, rank_, group.to_string()));
  }
}

bool State::claim(const Subject& subject, Deadline deadline) {
  std::unique_lock lock(claims_mutex_);
  return claims_changed_.wait_until(lock, deadline, [&] { return claims_.insert(subject).second; });
}

void State::release(const Subject& subject) {
  {
    std::lock_guard lock(claims_mutex_);
    claims_.erase(subject);
  }
  claims_changed_.notify_all();
}

void State::linger(std::list<LingeringPost>& post) noexcept {
  post.front().until = Clock::now() + lingering_time;
  take_down_lingering();
  const std::lock_guard lock(lingering_mutex_);
  lingering_.splice(lingering_.end(), post);
}

// The oldest first. What is held stays: its holders, who must still learn of the end, are members
// of meetings that are under way, and so are few.
void State::take_down_lingering() noexcept {
  const auto now = Clock::now();
  const std::lock_guard lock(lingering_mutex_);
  for (auto it = lingering_.begin(); it != lingering_.end();) {
    const bool due = it->until < now || lingering_.size() >= most_lingering;
    it = due && !it->hold->holder() ? lingering_.erase(it) : std::next(it);
  }
}

std::uint32_t State::survivors_round(const Subject& subject) {
  std::lock_guard lock(rounds_mutex_);
  return survivors_rounds_[subject];
}

void State::set_survivors_round(const Subject& subject, std::uint32_t round) {
  std::lock_guard lock(rounds_mutex_);
  survivors_rounds_[subject] = round;
}

}  // namespace muster::world

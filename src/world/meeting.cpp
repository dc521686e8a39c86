#include "world/meeting.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <utility>

namespace muster::world {

namespace {

// A wait looks around this often for what wakes nobody: signs of death behind the life lines, and
// members that meet under another group.
constexpr auto slice = std::chrono::milliseconds(50);

// Another thread of a member may be about to meet with the right group, so a wrong one is only an
// error when it has stood for some time.
constexpr auto mismatch_grace = std::chrono::milliseconds(100);

}  // namespace

// Held by the members that hold this rank's post, which must be closed. Once nobody does, nobody
// ever does again, and the post may be taken down. Kept by the arena, as PeersHold is.
class PostHold : public Hold {
 public:
  PostHold(State& state, const Group& group)
      : liveness_(state.liveness()),
        group_(group),
        self_(state.rank()),
        board_(state.board_of(state.rank())) {}

  void set_post(PostName post) noexcept { post_ = post; }

  std::optional<int> holder() const noexcept override {
    if (released_.load(std::memory_order_acquire)) return std::nullopt;
    for (int i = 0; i < group_.size(); ++i) {
      const bool holds = group_[i] != self_ && board_.held(post_, i);
      if (holds && !liveness_.lost(group_[i])) return group_[i];
    }
    released_.store(true, std::memory_order_release);
    return std::nullopt;
  }

 private:
  const Liveness& liveness_;
  const Group group_;
  const int self_;
  const BoardReader board_;
  PostName post_;
  mutable std::atomic<bool> released_ = false;
};

void Holds::release() noexcept {
  if (state_.in_own_process()) {
    for (const Held& held : held_) state_.board_of(held.rank).release(held.post, held.position);
  }
  held_.clear();
}

Meeting::Meeting(State& state,
                 Subject subject,
                 std::span<const std::byte> body,
                 Deadline deadline,
                 std::string operation)
    : state_(state),
      subject_(std::move(subject)),
      deadline_(deadline),
      operation_(std::move(operation)),
      self_(*subject_.group.position(state.rank())),
      posts_(static_cast<std::size_t>(subject_.group.size())),
      hold_(std::make_shared<PostHold>(state_, subject_.group)) {
  state_.take_down_lingering();
  post_of(self_).body.assign(body.begin(), body.end());
  state_.liveness().add(*this);
  try {
    pinned_.emplace_back(state_.board(), subject_, body);
  } catch (...) {
    state_.liveness().remove(*this);
    throw;
  }
  // Nothing may fail from here on: members can hold the post.
  hold_->set_post(own_post().name());
}

Meeting::~Meeting() {
  state_.liveness().remove(*this);
  if (confirmed_ && !withdrawn_) return;
  pinned_.front().hold = withdraw();
  state_.linger(pinned_);
}

std::vector<std::vector<std::byte>> Meeting::gather(Holds& holds) {
  wait_for_all([&](int i) { return find(i); });
  hold_all(holds);
  own_post().set_phase(Phase::complete);
  gathered_ = true;
  std::vector<std::vector<std::byte>> bodies;
  for (Post& post : posts_) bodies.push_back(std::move(post.body));
  return bodies;
}

void Meeting::confirm() {
  wait_for_all([&](int i) { return has_gathered(i); });
  confirmed_ = true;
}

std::shared_ptr<const Hold> Meeting::withdraw() noexcept {
  if (!confirmed_) own_post().fail(blame_);
  own_post().close();
  withdrawn_ = true;
  return hold_;
}

template <typename Function>
void Meeting::for_each_peer(Function function) {
  for (int i = 0; i < subject_.group.size(); ++i) {
    if (i != self_) function(i);
  }
}

// Has this rank found member i's post for this meeting?
bool Meeting::find(int i) {
  if (post_of(i).id != 0) return true;
  std::optional<PostName> given_up;  // on this meeting; but the member may be meeting again
  for (Post& post : board_of(i).find_all(subject_)) {
    const std::uint32_t saw = post.seen[static_cast<std::size_t>(self_)];
    if (post.phase == Phase::failed) {
      if (saw == own_post().id()) given_up = post;
      continue;
    }
    if (saw != 0 && saw != own_post().id()) continue;  // it is meeting an earlier self of mine
    own_post().mark_seen(i, post.id);
    post_of(i) = std::move(post);
    return true;
  }
  if (given_up) throw_given_up(i, *given_up);
  return false;
}

// From here on this rank may act on what the members' posts tell it: their owners know.
void Meeting::hold_all(Holds& holds) {
  holds.held_.reserve(static_cast<std::size_t>(subject_.group.size()));
  for_each_peer([&](int i) {
    if (!board_of(i).hold(post_of(i), self_)) throw_given_up(i);
    holds.held_.push_back({subject_.group[i], post_of(i), self_});
  });
}

// Until this rank has gathered, no member can have finished: a post that it found and that is no
// longer up, or up as failed, is that of a member which gave up.
void Meeting::require_standing(int i) {
  if (post_of(i).id == 0) return;
  const auto phase = board_of(i).phase(post_of(i));
  if (!phase || phase == Phase::failed) throw_given_up(i);
}

// Has member i read every member's post? It has also if it took its own down, which it does not
// while this rank holds it unless the meeting went well.
bool Meeting::has_gathered(int i) {
  const auto phase = board_of(i).phase(post_of(i));
  if (phase == Phase::failed) throw_given_up(i);
  return phase != Phase::waiting;
}

// A member gave up on somebody: on one that died, or has another group, or has not come. What it
// says itself comes behind what can be seen, but before what could be guessed: this rank may learn
// of a death later than that member did.
void Meeting::throw_given_up(int i, const PostName& post) {
  state_.liveness().probe();
  for_each_peer([&](int j) {
    if (state_.liveness().fate(subject_.group[j]) == Fate::died) throw_lost(subject_.group[j]);
  });
  check_other_groups();
  const int rank = subject_.group[i];
  const auto blame = board_of(i).blame(post);
  if (blame && blame->rank != state_.rank() && subject_.group.position(blame->rank)) {
    if (!blame->lost) {
      give_up(ErrorCode::timeout,
              blame->rank,
              fmt::format("rank {} gave up waiting for rank {}", rank, blame->rank));
    }
    give_up(ErrorCode::peer_lost,
            blame->rank,
            fmt::format("rank {} gave up on rank {}", rank, blame->rank));
  }
  const std::vector<int> ranks = missing(i);
  if (ranks.front() == rank) {
    give_up(ErrorCode::peer_lost, rank, fmt::format("rank {} has given up", rank));
  }
  give_up(ErrorCode::timeout,
          ranks.front(),
          fmt::format("rank {} gave up waiting for rank {}", rank, fmt::join(ranks, ", rank ")));
}

// Says so on this rank's post too, when that is withdrawn.
void Meeting::give_up(ErrorCode code, int culprit, const std::string& what) {
  blame_ = {.rank = culprit, .lost = code == ErrorCode::peer_lost};
  throw Error(code, operation_ + ": " + what, culprit);
}

template <typename Met>
void Meeting::wait_for_all(Met met) {
  for_each_peer([&](int i) { wait_for(i, met); });
}

template <typename Met>
void Meeting::wait_for(int i, Met met) {
  for (int yields = 0; yields < 16; ++yields) {
    if (met(i)) return;
    std::this_thread::yield();
  }
  BoardReader board = board_of(i);
  for (;;) {
    const std::uint32_t generation = board.generation();
    if (met(i)) return;
    check_lost();
    const auto now = Clock::now();
    if (now >= deadline_) throw_timeout(i);
    board.sleep(generation, std::min(deadline_, now + slice));
    if (Clock::now() - now >= slice) state_.liveness().probe();
    if (!gathered_) for_each_peer([&](int j) { require_standing(j); });
    if (Clock::now() >= began_ + mismatch_grace) check_other_groups();
  }
}

// Throws when a member is lost that has not read every member's post: it never will, and nobody
// needs to wait for the others then. One that has read them all keeps nobody from meeting, since
// what it posted can still be read. Those that died come first: another may have left over that.
void Meeting::check_lost() {
  if (state_.liveness().losses() == 0) return;
  for (const Fate fate : {Fate::died, Fate::left}) {
    for_each_peer([&](int i) {
      if (state_.liveness().fate(subject_.group[i]) != fate) return;
      if (!find(i) || !has_gathered(i)) throw_lost(subject_.group[i]);
    });
  }
}

// On the watcher thread: somebody may be lost, so whoever sleeps must look around.
void Meeting::attention() noexcept {
  for_each_peer([&](int i) { board_of(i).wake(); });
}

void Meeting::throw_lost(int rank) {
  const bool left = state_.liveness().fate(rank) == Fate::left;
  give_up(ErrorCode::peer_lost,
          rank,
          fmt::format("rank {} {}", rank, left ? "left the world" : "died"));
}

// The members to blame. Those that this rank waits for may themselves wait for somebody: the
// culprits are the ones that have not posted.
std::vector<int> Meeting::missing(int waiting_for) {
  std::vector<int> ranks;
  for_each_peer([&](int i) {
    if (post_of(i).id == 0 && !board_of(i).find_any(subject_)) ranks.push_back(subject_.group[i]);
  });
  if (!ranks.empty()) return ranks;
  if (const auto post = board_of(waiting_for).find_any(subject_)) {
    for_each_peer([&](int i) {
      const bool seen = post->seen[static_cast<std::size_t>(i)] != 0;
      if (i != waiting_for && !seen) ranks.push_back(subject_.group[i]);
    });
  }
  if (ranks.empty()) ranks.push_back(subject_.group[waiting_for]);
  return ranks;
}

void Meeting::throw_timeout(int waiting_for) {
  const std::vector<int> ranks = missing(waiting_for);
  give_up(ErrorCode::timeout,
          ranks.front(),
          fmt::format(
              "rank {} waited in vain for rank {}", state_.rank(), fmt::join(ranks, ", rank ")));
}

// Is another thread of this rank at a meeting on that subject?
bool Meeting::meets_on(const Subject& subject) const {
  const BoardReader board = state_.board_of(state_.rank());
  return std::ranges::any_of(board.find_all(subject),
                             [&](const Post& post) { return !board.is_closed(post); });
}

// Throws when a member that this rank waits for waits for it too, but under another group.
void Meeting::check_other_groups() {
  for_each_peer([&](int i) {
    if (post_of(i).id != 0) return;
    for (const Post& post : board_of(i).all()) {
      const Subject& other = post.subject;
      if (other.topic != subject_.topic || other.tag != subject_.tag ||
          other.group == subject_.group || !other.group.position(state_.rank()) ||
          post.phase == Phase::complete || meets_on(other)) {
        continue;
      }
      throw Error(ErrorCode::mismatch,
                  fmt::format("{}: rank {} has group {}, rank {} has group {}, both with tag '{}'",
                              operation_,
                              state_.rank(),
                              subject_.group.to_string(),
                              subject_.group[i],
                              other.group.to_string(),
                              subject_.tag),
                  subject_.group[i]);
    }
  });
}

}  // namespace muster::world

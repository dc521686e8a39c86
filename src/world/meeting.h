// Members of a group find each other by subject, and learn what each brought.
#pragma once

#include "muster/error.h"
#include "world/board.h"
#include "world/deadline.h"
#include "world/liveness.h"
#include "world/state.h"

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muster::world {

class PostHold;

// This rank's holds on others' posts: it may write to the memory that these tell of, and the owners
// use that for nothing else, until the holds are released. Not to be released before the last
// write.
class Holds {
 public:
  explicit Holds(State& state) noexcept : state_(state) {}
  ~Holds() { release(); }
  Holds(const Holds&) = delete;
  Holds& operator=(const Holds&) = delete;

  void release() noexcept;

 private:
  friend class Meeting;
  struct Held {
    int rank;
    PostName post;
    int position;  // this rank's
  };

  State& state_;
  std::vector<Held> held_;
};

// A meeting of the members of a subject's group. Meetings on one subject are matched by what each
// side has seen of the other, so a member that meets again cannot be taken for its earlier self.
//
// Both steps throw timeout naming the members that did not come, peer_lost, and mismatch when a
// member meets under the same tag with another group.
class Meeting final : private Listener {
 public:
  // Posts `body`. `operation` names the caller in errors. Throws out_of_memory.
  Meeting(State& state,
          Subject subject,
          std::span<const std::byte> body,
          Deadline deadline,
          std::string operation);
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  // Waits for every member's post, and adds them to `holds`; element i is what member i brought.
  std::vector<std::vector<std::byte>> gather(Holds& holds);

  // Waits until every member has gathered. A member for which this throws must reckon with others
  // for which it did not.
  void confirm();

  // Lets nobody hold this member's post who does not yet, and returns who does: the members that
  // could still act on what it told them. If the meeting is not confirmed, it has failed.
  std::shared_ptr<const Hold> withdraw() noexcept;

 private:
  template <typename Function>
  void for_each_peer(Function function);
  template <typename Met>
  void wait_for_all(Met met);
  template <typename Met>
  void wait_for(int i, Met met);
  void check_lost();
  void attention() noexcept override;
  bool find(int i);
  bool has_gathered(int i);
  void require_standing(int i);
  void hold_all(Holds& holds);
  [[noreturn]] void throw_given_up(int i, const PostName& post);
  [[noreturn]] void throw_given_up(int i) { throw_given_up(i, post_of(i)); }
  bool meets_on(const Subject& subject) const;
  void check_other_groups();
  std::vector<int> missing(int waiting_for);
  [[noreturn]] void throw_timeout(int waiting_for);
  [[noreturn]] void throw_lost(int rank);
  [[noreturn]] void give_up(ErrorCode code, int culprit, const std::string& what);

  BoardReader board_of(int i) const { return state_.board_of(subject_.group[i]); }
  PinnedPost& own_post() noexcept { return pinned_.front().post; }
  Post& post_of(int i) { return posts_[static_cast<std::size_t>(i)]; }

  State& state_;
  const Subject subject_;
  const Deadline deadline_;
  const Deadline began_ = Clock::now();
  const std::string operation_;
  const int self_;
  std::vector<Post> posts_;          // by position; id 0 where not found yet
  std::list<LingeringPost> pinned_;  // one, which may have to linger when there is no memory
  std::shared_ptr<PostHold> hold_;
  std::optional<Blame> blame_;  // once this rank has given up on somebody
  bool gathered_ = false;
  bool confirmed_ = false;
  bool withdrawn_ = false;
};

}  // namespace muster::world

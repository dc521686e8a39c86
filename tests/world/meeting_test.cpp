// Members that give up on a meeting in the very instant in which others find them: what they had
// offered is used for nothing else while those could still act on it.
#include "world/meeting.h"

#include "muster/error.h"
#include "support/errors.h"
#include "transport/transport.h"
#include "world/deadline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace muster::world {
namespace {

using namespace std::chrono_literals;

const Subject subject{Topic::communicator, Group{0, 1}, "tag"};

// One rank's attempt to make a communicator, step by step. Steps of two ranks can be taken in turn
// by one thread where no step has to wait.
class Attempt {
 public:
  explicit Attempt(std::shared_ptr<State> state)
      : state_(std::move(state)),
        holds_(std::make_unique<Holds>(*state_)),
        channel_(transport::open_channel(Transport::shm, state_, subject.group, {})),
        meeting_(std::make_unique<Meeting>(
            *state_, subject, channel_->introduction(), deadline_after(0ms), "test")) {}

  void gather() { introductions_ = meeting_->gather(*holds_); }
  void connect() { channel_->connect(introductions_); }
  void confirm() { meeting_->confirm(); }
  // All but that the others' memory is held until the attempt is destroyed.
  void give_up() {
    channel_->abandon(meeting_->withdraw());
    meeting_.reset();
    channel_.reset();
  }

 private:
  std::shared_ptr<State> state_;
  std::unique_ptr<Holds> holds_;
  std::unique_ptr<transport::Channel> channel_;
  std::unique_ptr<Meeting> meeting_;
  std::vector<std::vector<std::byte>> introductions_;
};

// Memory that was given out in place of what is free: all of the arena's beginning.
class Canaries {
 public:
  explicit Canaries(Arena& arena) : arena_(arena) {
    for (int i = 0; i < 256; ++i) {
      ranges_.push_back(arena.allocate(128));
      std::ranges::fill(bytes(ranges_.back()), canary);
    }
  }
  ~Canaries() {
    for (const Range& range : ranges_) arena_.free(range);
  }
  Canaries(const Canaries&) = delete;
  Canaries& operator=(const Canaries&) = delete;

  bool alive() const {
    return std::ranges::all_of(ranges_, [&](const Range& range) {
      return std::ranges::all_of(bytes(range), [](std::byte b) { return b == canary; });
    });
  }
  std::size_t lowest() const {
    return std::ranges::min(ranges_, {}, [](const Range& range) { return range.offset; }).offset;
  }

 private:
  static constexpr std::byte canary{0xc5};
  std::span<std::byte> bytes(const Range& range) const {
    return {arena_.base() + range.offset, range.bytes};
  }

  Arena& arena_;
  std::vector<Range> ranges_;
};

TEST(AMemberThatGivesUp, KeepsItsMemoryFromOneThatHasJustFoundIt) {
  const auto states = State::threads(2);
  const std::size_t lowest = Canaries(states[0]->arena()).lowest();
  {
    Attempt early(states[0]);
    Attempt late(states[1]);
    late.gather();
    early.give_up();
    const Canaries canaries(states[0]->arena());
    late.connect();
    EXPECT_EQ(test::thrown_by([&] { late.confirm(); }).peer(), 0);
    late.give_up();  // and says goodbye, in the early member's memory
    EXPECT_TRUE(canaries.alive());
  }
  EXPECT_EQ(Canaries(states[0]->arena()).lowest(), lowest) << "the memory is lost";
}

TEST(AMemberThatGivesUp, KeepsItsMemoryUntilWhoHasFoundItDies) {
  const auto states = State::threads(2);
  const std::size_t lowest = Canaries(states[0]->arena()).lowest();
  Attempt early(states[0]);
  Attempt late(states[1]);
  late.gather();
  early.give_up();
  states[0]->liveness().probe();
  EXPECT_GT(Canaries(states[0]->arena()).lowest(), lowest) << "it lives";
  states[1]->control_of(1).life[0].word.fetch_or(FUTEX_OWNER_DIED);  // as the kernel does
  states[0]->liveness().probe();
  EXPECT_EQ(Canaries(states[0]->arena()).lowest(), lowest);
}

TEST(AMemberThatGivesUp, IsNotFoundAfterwards) {
  const auto states = State::threads(2);
  Attempt early(states[0]);
  early.give_up();
  const std::size_t lowest = Canaries(states[0]->arena()).lowest();
  Attempt late(states[1]);
  EXPECT_EQ(test::thrown_by([&] { late.gather(); }).code(), ErrorCode::timeout);
  EXPECT_EQ(Canaries(states[0]->arena()).lowest(), lowest);
}

TEST(AMemberThatGivesUp, SaysSoForAsLongAsSomebodyCouldMissIt) {
  const auto states = State::threads(2);
  Attempt early(states[0]);
  Attempt late(states[1]);
  late.gather();
  early.give_up();
  for (int i = 0; i < 600; ++i) Attempt(states[0]).give_up();  // more than may linger
  EXPECT_EQ(test::thrown_by([&] { late.confirm(); }).code(), ErrorCode::peer_lost);
}

// Of three members, the last steps of one of which the others do not see.
class ThreeMembers : public ::testing::Test {
 protected:
  std::unique_ptr<Meeting> meeting_of(std::size_t rank, std::chrono::milliseconds timeout = 60s) {
    return std::make_unique<Meeting>(*states_[rank],
                                     Subject{Topic::communicator, Group{0, 1, 2}, "tag"},
                                     std::span<const std::byte>(),
                                     deadline_after(timeout),
                                     "test");
  }
  // As the kernel does it, one observer after the other.
  void die(int rank) {
    for (int observer = 0; observer < 3; ++observer) die_before(rank, observer);
  }
  void die_before(int rank, int observer) {
    auto& control = states_[0]->control_of(rank);
    control.life[static_cast<std::size_t>(observer)].word.fetch_or(FUTEX_OWNER_DIED);
  }
  Error error_of_gathering(std::size_t rank, std::chrono::milliseconds timeout = 60s) {
    Holds holds(*states_[rank]);
    const auto meeting = meeting_of(rank, timeout);
    return test::thrown_by([&] { meeting->gather(holds); });
  }

  std::vector<std::shared_ptr<State>> states_ = State::threads(3);
};

TEST_F(ThreeMembers, LearnOfOneThatDiedOverTheMeetingHoweverLateTheyCome) {
  const auto dead = meeting_of(1);  // has posted, and found nobody
  die(1);
  for (const std::size_t rank : {2, 0}) {  // rank 0 finds rank 2's post only as one of the past
    const Error error = error_of_gathering(rank);
    EXPECT_EQ(error.code(), ErrorCode::peer_lost) << error.what();
    EXPECT_EQ(error.peer(), 1) << error.what();
  }
}

TEST_F(ThreeMembers, LearnOfOneThatGaveUpBeforeTheyFoundIt) {
  const auto first = meeting_of(0);
  const auto second = meeting_of(1);
  {
    Holds holds(*states_[2]);
    meeting_of(2)->gather(holds);  // has seen the others, and goes without having met them
  }
  Holds holds(*states_[0]);
  const Error error = test::thrown_by([&] { first->gather(holds); });
  EXPECT_EQ(error.code(), ErrorCode::peer_lost) << error.what();
  EXPECT_EQ(error.peer(), 2) << error.what();
}

TEST_F(ThreeMembers, MeetOneThatMeetsAgainSinceAnotherWasLate) {
  const auto patient = meeting_of(0);
  {
    Holds holds(*states_[2]);
    const auto impatient = meeting_of(2, 0ms);
    EXPECT_EQ(test::thrown_by([&] { impatient->gather(holds); }).peer(), 1);
  }
  const auto again = meeting_of(2);
  const auto late = meeting_of(1);
  std::vector<std::unique_ptr<Holds>> holds;
  for (const auto& state : states_) holds.push_back(std::make_unique<Holds>(*state));
  patient->gather(*holds[0]);
  late->gather(*holds[1]);
  again->gather(*holds[2]);
  for (const auto* meeting : {&patient, &late, &again}) (*meeting)->confirm();
}

TEST_F(ThreeMembers, BlameNobodyWhoStandsThereForOneThatGaveUpAndLeft) {
  EXPECT_EQ(error_of_gathering(2, 0ms).peer(), 0);
  states_[2].reset();
  const auto late = meeting_of(1);
  const Error error = error_of_gathering(0);
  EXPECT_EQ(error.code(), ErrorCode::peer_lost) << error.what();
  EXPECT_EQ(error.peer(), 2) << error.what();
}

TEST_F(ThreeMembers, LearnOfADeathFromOneThatSawItFirst) {
  const auto first = meeting_of(0);
  const auto dead = meeting_of(1);
  die_before(1, 2);
  {
    Holds holds(*states_[2]);
    const auto last = meeting_of(2);
    last->gather(holds);
    EXPECT_EQ(test::thrown_by([&] { last->confirm(); }).peer(), 1);
  }
  Holds holds(*states_[0]);
  const Error error = test::thrown_by([&] { first->gather(holds); });
  EXPECT_EQ(error.code(), ErrorCode::peer_lost) << error.what();
  EXPECT_EQ(error.peer(), 1) << error.what();
}

TEST_F(ThreeMembers, MeetThoughOneDiedThatHadSeenAll) {
  const auto first = meeting_of(0);
  const auto last = meeting_of(2);
  const auto dead = meeting_of(1);
  Holds holds_of_the_dead(*states_[1]);
  dead->gather(holds_of_the_dead);
  die(1);
  Holds holds(*states_[0]);
  Holds holds_of_the_last(*states_[2]);
  first->gather(holds);
  last->gather(holds_of_the_last);
  first->confirm();
  last->confirm();
}

TEST(APost, IsHeldByNobodyNewOnceItIsClosed) {
  const auto states = State::threads(3);
  const Subject shared{Topic::communicator, Group{0, 1, 2}, "tag"};
  PinnedPost pinned(states[0]->board(), shared, {});
  BoardReader board = states[1]->board_of(0);
  const auto post = board.find(shared);
  ASSERT_TRUE(post);
  EXPECT_TRUE(board.hold(*post, 1));
  pinned.close();
  EXPECT_FALSE(board.hold(*post, 2));
  EXPECT_TRUE(board.held(*post, 1));
  EXPECT_FALSE(board.held(*post, 2));
  board.release(*post, 1);
  EXPECT_FALSE(board.held(*post, 1));
}

// Of the post with the test's subject on a rank's board.
Range memory_of_post(const std::shared_ptr<State>& owner, const std::shared_ptr<State>& reader) {
  const auto post = reader->board_of(owner->rank()).find(subject);
  if (!post) return {};
  return {owner->control_of(owner->rank()).board.entries[post->entry].offset, 1};
}

TEST(APost, LeavesItsMemoryToOtherPostsAlone) {
  const auto states = State::threads(2);
  Range before{};
  {
    const PinnedPost pinned(states[0]->board(), subject, {});
    before = memory_of_post(states[0], states[1]);
    ASSERT_GT(before.offset, 0U);
  }
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(states[0]->arena().allocate(64).overlaps(before)) << "allocation " << i;
  }
  const PinnedPost pinned(states[0]->board(), subject, {});
  EXPECT_EQ(memory_of_post(states[0], states[1]).offset, before.offset);
}

TEST(APost, WithALongBlobLeavesItsMemoryToAll) {
  const auto states = State::threads(2);
  const std::vector<std::byte> blob(std::size_t{1} << 20);
  Range before{};
  {
    const PinnedPost pinned(states[0]->board(), subject, blob);
    before = memory_of_post(states[0], states[1]);
    ASSERT_GT(before.offset, 0U);
  }
  EXPECT_TRUE(states[0]->arena().allocate(blob.size()).overlaps(before));
}

TEST(APost, IsNotReleasedInPlaceOfItsPredecessor) {
  const auto states = State::threads(2);
  BoardReader board = states[1]->board_of(0);
  std::optional<Post> before;
  {
    const PinnedPost pinned(states[0]->board(), subject, {});
    before = board.find(subject);
    ASSERT_TRUE(before && board.hold(*before, 1));
  }
  const PinnedPost pinned(states[0]->board(), subject, {});
  const auto after = board.find(subject);
  ASSERT_TRUE(after && board.hold(*after, 1));
  ASSERT_EQ(after->entry, before->entry);
  board.release(*before, 1);
  EXPECT_TRUE(board.held(*after, 1));
}

}  // namespace
}  // namespace muster::world

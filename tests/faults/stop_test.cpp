// Ranks that are stopped, and perhaps woken again.
#include "faults/lesson.h"
#include "faults/traffic.h"
#include "support/job.h"
#include "support/require.h"
#include "support/role.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <random>
#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr int ranks = 4;
constexpr auto patience = 30s;
constexpr auto timeout = 500ms;
constexpr std::size_t section_bytes = 200000;

std::string must_tell(Process& rank) {
  auto line = rank.line(Clock::now() + patience);
  if (!line) throw std::runtime_error("a rank tells nothing");
  return *line;
}

bool holds(std::span<const std::byte> bytes, std::byte due) {
  return std::ranges::all_of(bytes, [=](std::byte is) { return is == due; });
}

// Gathers into one Buffer until that fails, and tells the lesson.
class StoppedWorld {
 public:
  StoppedWorld()
      : world_(World::join()),
        everyone_(Group::range(world_.size())),
        shard_(section_bytes, static_cast<std::byte>(world_.rank())),
        full_(world_.allocate(section_bytes * ranks)) {}

  void gather_until_it_fails() {
    Communicator communicator(world_, everyone_, {.timeout = timeout});
    tell("ready");
    auto start = Clock::now();
    try {
      for (;; start = Clock::now()) gather(communicator, full_);
    } catch (const Error& error) {
      tell(json(lesson_of(error, start)).dump());
    }
  }

  // With those who answer. The old output must not be used before the stopped rank is out of it,
  // other memory may be, and the rank that wakes up damages none of it.
  void go_on() {
    const Group left = world_.survivors(everyone_, timeout);
    require(left.size() == ranks - 1, "survivors " + left.to_string());
    Communicator communicator(world_, left, {.timeout = patience, .tag = "next"});
    Buffer fresh = world_.allocate(section_bytes * ranks);
    gather(communicator, fresh);

    const Error refusal = require_error(
        ErrorCode::invalid_argument, "quarantine", [&] { gather(communicator, full_); });
    tell(refusal.what());
    std::ranges::fill(fresh.bytes(), std::byte{0x5a});
    // A refusal sends nothing, so members may be refused differently often.
    while (!gathers_into_old_output(communicator)) std::this_thread::sleep_for(5ms);
    std::this_thread::sleep_for(20ms);
    require(holds(fresh.bytes(), std::byte{0x5a}), "new memory was written to");
    for (int i = 0; i < left.size(); ++i) {
      require(
          holds(full_.bytes().subspan(section_bytes * static_cast<std::size_t>(i), section_bytes),
                static_cast<std::byte>(left[i])),
          "an output was written to after its gather");
    }
  }

 private:
  void gather(Communicator& communicator, Buffer& into) {
    constexpr auto extent = static_cast<std::int64_t>(section_bytes);
    communicator.all_gather({shard_.data(), DataType::uint8, {extent}},
                            {into.data(), DataType::uint8, {extent * communicator.group().size()}},
                            0);
  }

  bool gathers_into_old_output(Communicator& communicator) {
    try {
      gather(communicator, full_);
      return true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::invalid_argument) throw;
      return false;
    }
  }

  World world_;
  Group everyone_;
  std::vector<std::byte> shard_;
  Buffer full_;
};

const RegisteredRole stopped("stopped", [](const std::string& argument) {
  StoppedWorld world;
  world.gather_until_it_fails();
  const char* rank = std::getenv("MUSTER_RANK");
  if (argument == rank) return;
  world.go_on();
});

TEST(Stop, IsATimeoutAndWhatTheWokenRankWritesDamagesNothing) {
  std::mt19937_64 random(std::random_device{}());
  for (int round = 0; round < 8; ++round) {
    const int victim = round % ranks;
    Job job(ranks, "stopped", std::to_string(victim));
    for (int rank = 0; rank < ranks; ++rank) ASSERT_EQ(must_tell(job[rank]), "ready");
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
    job[victim].signal(SIGSTOP);

    for (int rank = 0; rank < ranks; ++rank) {
      if (rank == victim) continue;
      const Lesson lesson = json::parse(must_tell(job[rank])).get<Lesson>();
      EXPECT_EQ(lesson.code, "timeout") << "rank " << rank << ": " << lesson.text;
      EXPECT_EQ(lesson.peer, victim) << "rank " << rank << ": " << lesson.text;
      EXPECT_LT(std::chrono::nanoseconds(lesson.waited_ns), timeout + 5s);
    }
    for (int rank = 0; rank < ranks; ++rank) {
      if (rank == victim) continue;
      const std::string refusal = must_tell(job[rank]);
      EXPECT_NE(refusal.find("rank " + std::to_string(victim)), std::string::npos) << refusal;
    }
    job[victim].signal(SIGCONT);
    const Lesson lesson = json::parse(must_tell(job[victim])).get<Lesson>();
    EXPECT_EQ(lesson.code, "timeout") << lesson.text;
    EXPECT_EQ(lesson.peer, victim) << lesson.text;
    ASSERT_EQ(job.wait(Clock::now() + patience), "");
  }
}

TEST(Stop, FollowedByTheRanksDeathEndsTheQuarantine) {
  Job job(ranks, "stopped", "2");
  for (int rank = 0; rank < ranks; ++rank) ASSERT_EQ(must_tell(job[rank]), "ready");
  job[2].signal(SIGSTOP);
  for (const int rank : {0, 1, 3}) {
    must_tell(job[rank]);  // the lesson
    must_tell(job[rank]);  // the refusal
  }
  job[2].signal(SIGKILL);
  for (const int rank : {0, 1, 3}) {
    job[rank].wait(Clock::now() + patience);
    EXPECT_EQ(job[rank].status(), 0);
  }
}

const RegisteredRole starved("starved", [](const std::string&) {
  World world = World::join();
  Communicator communicator(world, Group::range(world.size()), {.timeout = patience});
  Traffic traffic(world, communicator, 11);
  tell("ready");
  for (int call = 0; call < 400; ++call) traffic.step();
});

TEST(Stop, ShorterThanTheTimeoutOnlyDelays) {
  std::mt19937_64 random(std::random_device{}());
  Job job(ranks, "starved", "");
  for (int rank = 0; rank < ranks; ++rank) ASSERT_EQ(must_tell(job[rank]), "ready");
  for (int round = 0; round < 40; ++round) {
    const int victim = static_cast<int>(random() % ranks);
    job[victim].signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 30));
    job[victim].signal(SIGCONT);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
  }
  EXPECT_EQ(job.wait(Clock::now() + patience), "");
}

}  // namespace
}  // namespace muster::test

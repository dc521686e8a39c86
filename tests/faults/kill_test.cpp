// Ranks that are killed at any point. MUSTER_TEST_KILLS sets how many, MUSTER_TEST_SEED repeats a
// run.
#include "faults/lesson.h"
#include "faults/traffic.h"
#include "support/job.h"
#include "support/role.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <iostream>
#include <random>
#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr int ranks = 4;
constexpr auto patience = 30s;         // with anything that ought to happen
constexpr auto learnt_within = 100ms;  // a promise of the library

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

// Makes a communicator of those who are left and gathers until somebody is lost; tells what it
// learnt and goes on with the others, until it is alone.
void act_under_fire(const std::string& argument) {
  const json order = json::parse(argument);
  World world = World::join();
  Group left = Group::range(world.size());
  for (int round = 0; left.size() > 1; ++round) {
    tell("ready");
    const auto start = Clock::now();
    try {
      Communicator communicator(world, left, {.timeout = patience, .tag = std::to_string(round)});
      Traffic traffic(world, communicator, order.at("seed").get<std::uint64_t>());
      for (;;) traffic.step();
    } catch (const Error& error) {
      tell(json(lesson_of(error, start)).dump());
    }
    left = world.survivors(left);
    tell(json(left.ranks()).dump());
  }
}
const RegisteredRole under_fire("under fire", act_under_fire);

std::string must_tell(Process& rank) {
  auto line = rank.line(Clock::now() + patience);
  if (!line) throw std::runtime_error("a rank tells nothing");
  return *line;
}

// How long after the kill each survivor learnt of it.
using Latencies = std::vector<std::chrono::nanoseconds>;

// Kills `victim`, and checks what the others learn of it and whom they go on with.
void kill_and_check(Job& job, const std::vector<int>& alive, int victim, Latencies& latencies) {
  const auto killed = Clock::now();
  job[victim].signal(SIGKILL);
  const auto ended = std::max(job[victim].wait(killed + patience), killed);

  std::vector<int> left;
  std::ranges::copy_if(alive, std::back_inserter(left), [=](int rank) { return rank != victim; });
  for (const int rank : left) {
    const std::string line = must_tell(job[rank]);
    ASSERT_TRUE(line.starts_with('{')) << "rank " << rank << " tells " << line;
    const Lesson lesson = json::parse(line).get<Lesson>();
    EXPECT_EQ(lesson.code, "peer_lost") << "rank " << rank << ": " << lesson.text;
    EXPECT_EQ(lesson.peer, victim) << "rank " << rank << ": " << lesson.text;
    EXPECT_NE(lesson.text.find("rank " + std::to_string(victim)), std::string::npos) << lesson.text;
    latencies.push_back(std::chrono::nanoseconds(lesson.at_ns) - killed.time_since_epoch());
    EXPECT_LE(std::chrono::nanoseconds(lesson.at_ns) - ended.time_since_epoch(), learnt_within);
  }
  for (const int rank : left) EXPECT_EQ(must_tell(job[rank]), json(left).dump()) << "rank " << rank;
}

void report(Latencies latencies) {
  std::ranges::sort(latencies);
  const auto microseconds = [](std::chrono::nanoseconds time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  };
  std::cout << latencies.size()
            << " times a survivor learnt of a kill, microseconds after it: median "
            << microseconds(latencies[latencies.size() / 2]) << ", maximum "
            << microseconds(latencies.back()) << std::endl;
  ::testing::Test::RecordProperty("median_us", microseconds(latencies[latencies.size() / 2]));
  ::testing::Test::RecordProperty("maximum_us", microseconds(latencies.back()));
}

TEST(Kill, IsLearntByAllOthersWhoGoOn) {
  const std::uint64_t kills = from_environment("MUSTER_TEST_KILLS", 201);
  const std::uint64_t seed = from_environment("MUSTER_TEST_SEED", std::random_device()());
  SCOPED_TRACE("MUSTER_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  Latencies latencies;

  for (std::uint64_t killed = 0; killed < kills && !HasFailure();) {
    Job job(ranks, "under fire", json{{"seed", random() % 1000000}}.dump());
    std::vector<int> alive{0, 1, 2, 3};
    while (alive.size() > 1 && !HasFailure()) {
      for (const int rank : alive) ASSERT_EQ(must_tell(job[rank]), "ready");
      EXPECT_FALSE(job.directory().exists())
          << "the ranks have met, their directory is still there";
      // While the communicator is made, or some calls later.
      std::this_thread::sleep_for(
          std::chrono::microseconds(random() % (random() % 2 ? 300 : 8000)));
      const int victim = alive[random() % alive.size()];
      kill_and_check(job, alive, victim, latencies);
      std::erase(alive, victim);
      ++killed;
    }
    if (HasFailure()) return;
    job[alive.front()].wait(Clock::now() + patience);
    EXPECT_EQ(job[alive.front()].status(), 0);
  }
  report(latencies);
}

// As "under fire", but the rank named has something that makes the kernel slow to notice its end.
void burden(const json& order) {
  const char* rank = std::getenv("MUSTER_RANK");
  if (order.at("victim").get<int>() != std::atoi(rank)) return;
  if (const auto bytes = order.at("memory").get<std::size_t>(); bytes > 0) {
    void* memory = ::mmap(
        nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory for the victim");
  }
}
void act_burdened(const std::string& argument) {
  burden(json::parse(argument));
  act_under_fire(argument);
}
const RegisteredRole burdened("burdened", act_burdened);

TEST(Kill, IsLearntAsFastOfARankWithAGibibyteOfMemory) {
  // From the kill on, for the kernel takes long to end such a process. On a busy machine the victim
  // may have to wait until it may die, so the best of a few counts.
  std::chrono::nanoseconds best = patience;
  for (int victim = 0; victim < 3; ++victim) {
    Job job(
        ranks, "burdened", json{{"seed", victim}, {"victim", victim}, {"memory", 1 << 30}}.dump());
    for (int rank = 0; rank < ranks; ++rank) ASSERT_EQ(must_tell(job[rank]), "ready");
    std::this_thread::sleep_for(5ms);
    Latencies latencies;
    kill_and_check(job, {0, 1, 2, 3}, victim, latencies);
    ASSERT_EQ(latencies.size(), 3U);
    best = std::min(best, std::ranges::max(latencies));
    report(latencies);
  }
  EXPECT_LE(best, learnt_within);
}

// Joins and makes a communicator, then leaves a child behind that holds all that it inherited.
void act_with_child(const std::string& argument) {
  const json order = json::parse(argument);
  World world = World::join();
  const Group group = Group::range(world.size());
  Communicator communicator(world, group, {.timeout = patience});
  if (world.rank() == order.at("victim").get<int>()) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      ::pause();
      ::_exit(0);
    }
    tell(std::to_string(child));
  }
  tell("ready");
  const auto start = Clock::now();
  try {
    Traffic traffic(world, communicator, 1);
    for (;;) traffic.step();
  } catch (const Error& error) {
    tell(json(lesson_of(error, start)).dump());
  }
  tell(json(world.survivors(group).ranks()).dump());
}
const RegisteredRole with_child("with child", act_with_child);

TEST(Kill, IsLearntThoughAForkedChildKeepsTheDescriptors) {
  for (int victim = 0; victim < 2; ++victim) {
    Job job(ranks, "with child", json{{"victim", victim}}.dump());
    const pid_t child = std::stoi(must_tell(job[victim]));
    for (int rank = 0; rank < ranks; ++rank) ASSERT_EQ(must_tell(job[rank]), "ready");
    std::this_thread::sleep_for(5ms);
    Latencies latencies;
    kill_and_check(job, {0, 1, 2, 3}, victim, latencies);
    EXPECT_EQ(::kill(child, SIGKILL), 0) << "the child is gone, so it has proved nothing";
    report(latencies);
  }
}

// Every rank is somebody's victim before the ranks have met.
void act_joining(const std::string&) {
  tell("ready");
  const auto start = Clock::now();
  try {
    World::join(700ms);
  } catch (const Error& error) {
    tell(json(lesson_of(error, start)).dump());
    return;
  }
  tell("joined");
}
const RegisteredRole joining("joining", act_joining);

TEST(Kill, WhileRanksMeetMakesTheOthersThrow) {
  std::mt19937_64 random(std::random_device{}());
  for (int round = 0; round < 8; ++round) {
    Job job(ranks, "joining", "");
    const int victim = static_cast<int>(random() % ranks);
    must_tell(job[victim]);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    job[victim].signal(SIGKILL);
    for (int rank = 0; rank < ranks; ++rank) {
      if (rank == victim) continue;
      ASSERT_EQ(must_tell(job[rank]), "ready");
      // It may have been too late to hinder them; then they have joined.
      const std::string line = must_tell(job[rank]);
      if (line == "joined") continue;
      const Lesson lesson = json::parse(line).get<Lesson>();
      EXPECT_TRUE(lesson.code == "timeout" || lesson.code == "peer_lost") << line;
      EXPECT_EQ(lesson.peer, victim) << line;
    }
  }
}

// A rank that ends without a word, but after its last gather.
void act_ending(const std::string& argument) {
  const int gathers = std::stoi(argument);
  World world = World::join();
  const Group group = Group::range(world.size());
  Communicator communicator(world, group, {.timeout = patience});
  Traffic traffic(world, communicator, 5);
  for (int i = 0; i < gathers; ++i) traffic.step();
  if (world.rank() == 1) ::_exit(0);
  world.exchange(Group{0, 2, 3}, {});  // whoever calls again fails those still in their last call
  try {
    traffic.step();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::peer_lost && error.peer() == 1) return;
    throw;
  }
  throw std::runtime_error("a gather without a rank that has ended");
}
const RegisteredRole ending("ending", act_ending);

TEST(Kill, AfterTheLastGatherSpoilsNoGather) {
  for (int gathers = 1; gathers <= 20; ++gathers) {
    EXPECT_EQ(Job(ranks, "ending", std::to_string(gathers)).wait(Clock::now() + patience), "");
  }
}

}  // namespace
}  // namespace muster::test

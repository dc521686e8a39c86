// Communicators whose making times out in the instant in which a late member finds the other: that
// member's last words must not land in memory which the other has put to new use.
#include "support/job.h"
#include "support/require.h"
#include "support/role.h"

#include <muster/muster.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr auto timeout = 2ms;
constexpr std::byte canary{0xc5};

// As large as the control memory of a communicator of two, of which they take the place.
std::vector<Buffer> canaries(World& world) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < 4; ++i) {
    buffers.push_back(world.allocate(5248));
    std::ranges::fill(buffers.back().bytes(), canary);
  }
  return buffers;
}

// Rank 1 comes within a few hundred microseconds of the moment in which rank 0 gives up.
void come_at_the_last_moment(World& world, int rounds) {
  const Group both{0, 1};
  std::mt19937 random(7);
  std::uniform_int_distribution<int> lateness(-400, 50);
  for (int round = 0; round < rounds; ++round) {
    world.exchange(both, {}, patience);
    const auto moment = Clock::now() + timeout + std::chrono::microseconds(lateness(random));
    while (world.rank() == 1 && Clock::now() < moment) {
    }
    std::vector<Buffer> buffers;
    try {
      const Communicator communicator(world, both, {.timeout = timeout});
    } catch (const Error& error) {
      require(error.code() == ErrorCode::timeout || error.code() == ErrorCode::peer_lost,
              described(error));
      buffers = canaries(world);
    }
    world.exchange(both, {}, patience);  // both have said their last words
    for (const Buffer& buffer : buffers) {
      require(std::ranges::all_of(buffer.bytes(), [](std::byte b) { return b == canary; }),
              "round " + std::to_string(round) + ": somebody wrote to memory in new use");
    }
  }
}

const RegisteredRole comes_at_the_last_moment("comes at the last moment",
                                              [](const std::string& rounds) {
                                                World world = World::join();
                                                come_at_the_last_moment(world, std::stoi(rounds));
                                              });

TEST(ALateMember, WritesNowhereInTheMemoryOfAThreadThatGaveUp) {
  std::vector<World> worlds = World::threads(2);
  std::vector<std::string> last_words(2);
  std::vector<std::thread> threads;
  for (World& world : worlds) {
    threads.emplace_back([&world, &last_words] {
      try {
        come_at_the_last_moment(world, 1000);
      } catch (const std::exception& error) {
        last_words[static_cast<std::size_t>(world.rank())] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(last_words, std::vector<std::string>(2));
}

TEST(ALateMember, WritesNowhereInTheMemoryOfAProcessThatGaveUp) {
  EXPECT_EQ(Job(2, "comes at the last moment", "1000").wait(Clock::now() + patience), "");
}

TEST(ALateMember, WritesNowhereWhenItHasBeenStoppedMeanwhile) {
  Job job(2, "comes at the last moment", "500");
  std::mt19937 random(11);
  std::uniform_int_distribution<int> microseconds(0, 5000);
  for (int i = 0; i < 300; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds(random)));
    job[1].signal(SIGSTOP);
    std::this_thread::sleep_for(3ms);
    job[1].signal(SIGCONT);
  }
  EXPECT_EQ(job.wait(Clock::now() + patience), "");
}

}  // namespace
}  // namespace muster::test

// What a watcher knows of a peer whose life line and process a test plays.
#include "world/liveness.h"

#include "child.h"

#include <gtest/gtest.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace muster::world {
namespace {

using namespace std::chrono_literals;

bool in_time(const std::function<bool()>& ready) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

// Rank 0's watcher, and rank 1's process.
class APeer : public ::testing::Test {
 protected:
  void SetUp() override {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process_.pid(), 0)));
    if (!pidfd) GTEST_SKIP() << "there is no pidfd_open(2) here";
    std::vector<Liveness::Peer> peers;
    peers.push_back({.rank = 1, .control = &peer_, .pidfd = std::move(pidfd)});
    liveness_.watch(std::move(peers));
  }

  void end_life_line() {
    FutexWord& word = peer_.life[0].word;
    word.store(FUTEX_OWNER_DIED);
    futex_wake_all(word);
  }

  WorldControl own_{};
  WorldControl peer_{};
  const test::Child process_{[] { ::pause(); }};
  Liveness liveness_{0, own_};
};

TEST_F(APeer, ThatDiedIsGoneOnceItsProcessHasEnded) {
  EXPECT_FALSE(liveness_.lost(1));
  EXPECT_FALSE(liveness_.gone(1));
  end_life_line();
  EXPECT_TRUE(in_time([&] { return liveness_.lost(1); }));
  EXPECT_FALSE(liveness_.gone(1));
  process_.signal(SIGKILL);
  EXPECT_TRUE(in_time([&] { return liveness_.gone(1); }));
}

TEST_F(APeer, ThatLeftIsGoneThoughItsProcessGoesOn) {
  peer_.life[0].word.store(life_left);
  futex_wake_all(peer_.life[0].word);
  EXPECT_TRUE(in_time([&] { return liveness_.lost(1); }));
  EXPECT_EQ(liveness_.fate(1), Fate::left);
  EXPECT_TRUE(liveness_.gone(1));
}

class Counter final : public Listener {
 public:
  void attention() noexcept override { ++count; }
  std::atomic<int> count = 0;
};

TEST_F(APeer, WhoseDeathAProbeFindsIsToldToListeners) {
  Counter listener;
  liveness_.add(listener);
  process_.signal(SIGKILL);  // before its watcher could give the kernel a life line
  EXPECT_TRUE(in_time([&] {
    liveness_.probe();
    return liveness_.lost(1);
  }));
  EXPECT_TRUE(in_time([&] { return listener.count > 0; }));
  liveness_.remove(listener);
}

}  // namespace
}  // namespace muster::world

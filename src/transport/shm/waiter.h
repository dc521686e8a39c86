// How a member waits for its peers: briefly awake, then asleep on its doorbell.
//
// A member that goes to sleep says so, looks again, and sleeps; a member that has written something
// puts a full fence behind it and looks who sleeps. One of the two sees the other.
#pragma once

#include "transport/shm/endpoint.h"
#include "transport/shm/failure.h"
#include "world/deadline.h"
#include "world/futex.h"

#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

namespace muster::transport::shm {

class Waiter {
 public:
  Waiter(const Endpoint& endpoint, Failures& failures);

  // Begins a call: the deadline counts from its first wait that lasts.
  void begin_call() noexcept { deadline_.reset(); }

  // Waits until ready() while awaits(i) says which members this call still needs something of.
  // `for_whom` is the position of the member whose write makes it ready, or anybody.
  //
  // Looks at the data, then at failure, then at the data again: a member that delivered and then
  // left is no error. Throws what failed, having told nobody.
  template <typename Ready, typename Awaits>
  void wait(std::uint32_t for_whom, Ready ready, Awaits awaits) {
    if (spin(ready)) return;
    const Rest rest(*this);
    for (;;) {
      // Before all looks: whatever rings after one of them ends the sleep.
      const std::uint32_t bell = endpoint_.own().doorbell().bell.load(std::memory_order_seq_cst);
      if (ready()) return;
      if (failures_.failed()) {
        if (ready()) return;
        throw failures_.recorded();
      }
      if (const auto ended = first_ended(awaits)) {
        if (ready()) return;
        if (awaits(*ended)) throw failures_.reason_of_end(*ended);
        continue;
      }
      rest.show([&](int i) { return i != endpoint_.self && awaits(i); });
      if (world::Clock::now() >= deadline()) {
        if (ready()) return;
        throw timeout_error(awaited_members(awaits));
      }
      sleep(for_whom, ready, bell);
    }
  }

  // Wakes member i if it sleeps waiting for this one. A full fence must lie between what was
  // written and this call.
  void wake(int i) const noexcept {
    Doorbell& doorbell = endpoint_.of(i).doorbell();
    std::uint32_t awaited = doorbell.awaited.load(std::memory_order_relaxed);
    if (awaited == 0) return;
    if (awaited != anybody && awaited != static_cast<std::uint32_t>(endpoint_.self) + 1) return;
    wake_sleeper(doorbell, awaited);
  }

 private:
  // Shows peers that this member waits, and for whom, while it lives: they follow it to the
  // culprit. It stays to be seen where the wait throws: their time may end before the failure is on
  // record.
  class Rest {
   public:
    explicit Rest(const Waiter& waiter)
        : doorbell_(waiter.endpoint_.own().doorbell()), size_(waiter.endpoint_.size()) {}
    ~Rest() {
      if (std::uncaught_exceptions() == exceptions_) {
        doorbell_.heartbeat.store(0, std::memory_order_release);
      }
    }
    Rest(const Rest&) = delete;
    Rest& operator=(const Rest&) = delete;

    template <typename Awaits>
    void show(Awaits awaits) const {
      std::uint64_t missing[2] = {};
      for (int i = 0; i < size_; ++i) {
        if (awaits(i)) missing[i / 64] |= std::uint64_t{1} << (i % 64);
      }
      doorbell_.missing[0].store(missing[0], std::memory_order_relaxed);
      doorbell_.missing[1].store(missing[1], std::memory_order_relaxed);
      doorbell_.heartbeat.store(world::Clock::now().time_since_epoch().count(),
                                std::memory_order_release);
    }

   private:
    Doorbell& doorbell_;
    const int size_;
    const int exceptions_ = std::uncaught_exceptions();
  };

  // How long to stay awake: a few bursts of looks, then bursts behind a yield each.
  struct Bursts {
    int alone;
    int yielding;
    int looks;  // in one that yields
  };

  template <typename Ready>
  bool spin(Ready& ready) const {
    for (int i = 0; i < bursts_.alone; ++i) {
      if (look(ready, looks_alone)) return true;
      if (failures_.failed()) return false;
    }
    for (int i = 0; i < bursts_.yielding; ++i) {
      if (ready()) return true;
      yield();
      if (look(ready, bursts_.looks)) return true;
      if (failures_.failed()) return false;
    }
    return false;
  }

  template <typename Ready>
  static bool look(Ready& ready, int times) {
    for (int i = 0; i < times; ++i) {
      if (ready()) return true;
      pause();
    }
    return false;
  }

  template <typename Ready>
  void sleep(std::uint32_t for_whom, Ready& ready, std::uint32_t bell) {
    Doorbell& doorbell = endpoint_.own().doorbell();
    doorbell.awaited.store(for_whom == anybody ? anybody : for_whom + 1, std::memory_order_seq_cst);
    world::full_fence();
    if (!ready() && !failures_.failed()) sleep_on(bell);
    doorbell.awaited.store(0, std::memory_order_relaxed);
  }

  template <typename Awaits>
  std::optional<int> first_ended(Awaits& awaits) const {
    for (int i = 0; i < endpoint_.size(); ++i) {
      if (i != endpoint_.self && awaits(i) && endpoint_.ended(i)) return i;
    }
    return std::nullopt;
  }

  template <typename Awaits>
  std::vector<int> awaited_members(Awaits& awaits) const {
    std::vector<int> members;
    for (int i = 0; i < endpoint_.size(); ++i) {
      if (i != endpoint_.self && awaits(i)) members.push_back(i);
    }
    return members;
  }

  static constexpr int looks_alone = 64;
  static void pause() noexcept;
  static void yield() noexcept;
  static void wake_sleeper(Doorbell& doorbell, std::uint32_t awaited) noexcept;
  void sleep_on(std::uint32_t bell);
  world::Deadline deadline();

  Error timeout_error(const std::vector<int>& awaited) const;
  int culprit_behind(int i) const;

  const Endpoint& endpoint_;
  Failures& failures_;
  const Bursts bursts_;
  std::optional<world::Deadline> deadline_;
};

}  // namespace muster::transport::shm

// Who is inside a channel.
#pragma once

#include "muster/error.h"

#include <atomic>
#include <cstdint>
#include <thread>

namespace muster::transport::shm {

// One thread at a time: that of a call or, for a moment and when there is no call, one of muster's
// own (the watcher, a watchdog).
class Occupancy {
 public:
  // A call, which waits for muster's own threads. Throws invalid_argument when there is another.
  class Call {
   public:
    explicit Call(Occupancy& occupancy) : occupancy_(occupancy) {
      Occupant found = Occupant::nobody;
      while (!occupancy_.occupant_.compare_exchange_weak(
          found, Occupant::call, std::memory_order_acquire)) {
        if (found == Occupant::call) {
          throw Error(ErrorCode::invalid_argument,
                      "all_gather: another thread is in a call on this communicator");
        }
        if (found == Occupant::visitor) std::this_thread::yield();
        found = Occupant::nobody;
      }
    }
    ~Call() { occupancy_.leave(); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Occupancy& occupancy_;
  };

  // A thread of muster's own: false when somebody is inside, who then looks around for itself.
  class Visit {
   public:
    explicit Visit(Occupancy& occupancy) noexcept : occupancy_(occupancy) {
      Occupant nobody = Occupant::nobody;
      inside_ = occupancy_.occupant_.compare_exchange_strong(
          nobody, Occupant::visitor, std::memory_order_acquire);
    }
    ~Visit() {
      if (inside_) occupancy_.leave();
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    explicit operator bool() const noexcept { return inside_; }

   private:
    Occupancy& occupancy_;
    bool inside_ = false;
  };

 private:
  enum class Occupant : std::uint8_t { nobody, call, visitor };

  void leave() noexcept { occupant_.store(Occupant::nobody, std::memory_order_release); }

  std::atomic<Occupant> occupant_ = Occupant::nobody;
};

}  // namespace muster::transport::shm

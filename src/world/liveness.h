// Who of the world is still there.
#pragma once

#include "world/control.h"
#include "world/unique_fd.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace muster::world {

enum class Fate : std::uint8_t {
  alive,
  left,  // destroyed its World in order
  died,
};

// Told, on the watcher thread, that a peer is lost or that somebody rang this rank's attention
// word.
class Listener {
 public:
  virtual void attention() noexcept = 0;

 protected:
  ~Listener() = default;
};

// This rank's watcher: a thread that holds this rank's life lines, and waits on its peers'.
class Liveness {
 public:
  // A peer as the watcher sees it. The descriptors are second and third signs of its death, behind
  // the life line; either may be missing. The socket is another's to close.
  struct Peer {
    int rank = 0;
    WorldControl* control = nullptr;
    int socket = -1;
    UniqueFd pidfd = {};
  };

  // Takes hold of the life lines in `own` before it returns. Throws system when no thread is to be
  // had.
  Liveness(int rank, WorldControl& own);
  ~Liveness();  // leaves the world
  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;

  // Begins to watch. Once.
  void watch(std::vector<Peer> peers);

  Fate fate(int rank) const noexcept {
    return fates_[static_cast<std::size_t>(rank)].load(std::memory_order_acquire);
  }
  bool lost(int rank) const noexcept { return fate(rank) != Fate::alive; }

  // Has a rank that is lost left in order, or has its process ended to the end? A process that is
  // killed lets go of its devices last, which until then go on with what it had given them. True
  // where the system does not say.
  bool gone(int rank) const noexcept;

  // How many peers have been lost so far: a cheap way to see that somebody was.
  std::uint32_t losses() const noexcept { return losses_.load(std::memory_order_acquire); }

  // Looks at every sign of death now. For waits that have lasted: a life line alone does not tell
  // of a rank that was killed before its watcher started.
  void probe();

  void add(Listener& listener);
  void remove(Listener& listener);  // returns when the listener is not, and will not be, called

 private:
  void run();
  void hold_life_lines();
  void drop_life_lines();
  bool look_at_life_lines();
  void wait(std::uint32_t attention);
  void lose(int rank, Fate fate);
  void tell_listeners();

  const int rank_;
  WorldControl& own_;
  std::array<std::atomic<Fate>, World::max_size> fates_{};
  std::atomic<std::uint32_t> losses_ = 0;

  mutable std::mutex peers_mutex_;
  std::vector<Peer> peers_;

  std::mutex listeners_mutex_;
  std::vector<Listener*> listeners_;

  std::mutex start_mutex_;
  std::condition_variable started_;
  bool holding_ = false;

  std::atomic<bool> stop_ = false;
  robust_list_head robust_list_{};
  std::thread thread_;
};

// Wakes a rank's watcher, from any process.
inline void ring_attention(WorldControl& control) noexcept {
  control.attention.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(control.attention);
}

}  // namespace muster::world

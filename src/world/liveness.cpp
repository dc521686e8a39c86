#include "world/liveness.h"

#include "muster/error.h"
#include "world/system_error.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <system_error>

namespace muster::world {

namespace {

// futex_waitv(2) came with Linux 5.16; where it is missing or forbidden the watcher polls.
constexpr auto polling_interval = std::chrono::milliseconds(2);

// Has the other side of this socket closed it, or has this process ended?
bool signals_death(int fd, short events) {
  if (fd < 0) return false;
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return poll(&entry, 1, 0) > 0 && (entry.revents & (events | POLLHUP | POLLERR)) != 0;
}

Fate fate_of(std::uint32_t life) {
  if (life == life_left) return Fate::left;
  return (life & FUTEX_OWNER_DIED) != 0 ? Fate::died : Fate::alive;
}

}  // namespace

Liveness::Liveness(int rank, WorldControl& own) : rank_(rank), own_(own) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(
      SIG_SETMASK, &all, &before);  // the application's handlers are not for this thread
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw system_error("starting the watcher thread", error.code().value());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::unique_lock lock(start_mutex_);
  started_.wait(lock, [&] { return holding_; });
}

Liveness::~Liveness() {
  stop_.store(true, std::memory_order_seq_cst);
  ring_attention(own_);
  thread_.join();
}

void Liveness::watch(std::vector<Peer> peers) {
  {
    std::lock_guard lock(peers_mutex_);
    peers_ = std::move(peers);
  }
  ring_attention(own_);
}

void Liveness::run() {
  // From here on no ring is lost: nobody knows of this thread yet.
  std::uint32_t told = own_.attention.load(std::memory_order_seq_cst);
  hold_life_lines();
  {
    std::lock_guard lock(start_mutex_);
    holding_ = true;
  }
  started_.notify_one();
  while (!stop_.load(std::memory_order_seq_cst)) {
    const std::uint32_t attention = own_.attention.load(std::memory_order_seq_cst);
    const bool lost_somebody = look_at_life_lines();
    if (lost_somebody || attention != told) tell_listeners();
    told = attention;
    if (!stop_.load(std::memory_order_seq_cst)) wait(attention);
  }
  drop_life_lines();
}

void Liveness::hold_life_lines() {
  const auto word_of = static_cast<std::uint32_t>(syscall(SYS_gettid)) | FUTEX_WAITERS;
  robust_list* next = &robust_list_.list;
  for (LifeLine& line : own_.life) {
    line.node.next = next;
    next = &line.node;
    line.word.store(word_of, std::memory_order_seq_cst);
  }
  robust_list_.list.next = next;
  robust_list_.futex_offset = offsetof(LifeLine, word) - offsetof(LifeLine, node);
  syscall(SYS_set_robust_list, &robust_list_, sizeof robust_list_);
}

void Liveness::drop_life_lines() {
  robust_list_.list.next = &robust_list_.list;
  for (LifeLine& line : own_.life) {
    line.word.store(life_left, std::memory_order_seq_cst);
    futex_wake_all(line.word);
  }
}

bool Liveness::look_at_life_lines() {
  const std::uint32_t before = losses();
  std::lock_guard lock(peers_mutex_);
  for (const Peer& peer : peers_) {
    if (lost(peer.rank)) continue;
    const auto& life = peer.control->life[static_cast<std::size_t>(rank_)].word;
    const Fate fate = fate_of(life.load(std::memory_order_seq_cst));
    if (fate != Fate::alive) lose(peer.rank, fate);
  }
  return losses() != before;
}

void Liveness::probe() {
  const std::uint32_t before = losses();
  {
    std::lock_guard lock(peers_mutex_);
    for (const Peer& peer : peers_) {
      if (lost(peer.rank)) continue;
      const auto& life = peer.control->life[static_cast<std::size_t>(rank_)].word;
      Fate fate = fate_of(life.load(std::memory_order_seq_cst));
      if (fate == Fate::alive &&
          (signals_death(peer.pidfd.get(), POLLIN) || signals_death(peer.socket, POLLRDHUP))) {
        // It may have left in order since its word was read.
        fate = fate_of(life.load(std::memory_order_seq_cst));
        if (fate == Fate::alive) fate = Fate::died;
      }
      if (fate != Fate::alive) lose(peer.rank, fate);
    }
  }
  if (losses() != before) ring_attention(own_);  // the watcher tells the listeners
}

bool Liveness::gone(int rank) const noexcept {
  if (fate(rank) != Fate::died) return fate(rank) == Fate::left;
  std::lock_guard lock(peers_mutex_);
  const auto peer = std::find_if(
      peers_.begin(), peers_.end(), [&](const Peer& candidate) { return candidate.rank == rank; });
  return peer == peers_.end() || !peer->pidfd || signals_death(peer->pidfd.get(), POLLIN);
}

void Liveness::lose(int rank, Fate fate) {
  fates_[static_cast<std::size_t>(rank)].store(fate, std::memory_order_release);
  losses_.fetch_add(1, std::memory_order_release);
}

void Liveness::wait(std::uint32_t attention) {
  std::array<futex_waitv, World::max_size + 1> words{};
  unsigned count = 0;
  const auto add = [&](const FutexWord& word, std::uint32_t expected) {
    words[count++] = {.val = expected,
                      .uaddr = reinterpret_cast<std::uintptr_t>(&word),
                      .flags = FUTEX_32,
                      .__reserved = 0};
  };
  add(own_.attention, attention);
  {
    std::lock_guard lock(peers_mutex_);
    for (const Peer& peer : peers_) {
      if (lost(peer.rank)) continue;
      const FutexWord& word = peer.control->life[static_cast<std::size_t>(rank_)].word;
      const std::uint32_t life = word.load(std::memory_order_seq_cst);
      if (fate_of(life) != Fate::alive) return;
      add(word, life);
    }
  }
  if (syscall(SYS_futex_waitv, words.data(), count, 0, nullptr, 0) >= 0) return;
  if (errno != EAGAIN && errno != EINTR) {  // the system has no such call, or forbids it
    futex_wait(own_.attention, attention, Clock::now() + polling_interval);
  }
}

void Liveness::tell_listeners() {
  std::lock_guard lock(listeners_mutex_);
  for (Listener* listener : listeners_) listener->attention();
}

void Liveness::add(Listener& listener) {
  std::lock_guard lock(listeners_mutex_);
  listeners_.push_back(&listener);
}

void Liveness::remove(Listener& listener) {
  std::lock_guard lock(listeners_mutex_);
  std::erase(listeners_, &listener);
}

}  // namespace muster::world

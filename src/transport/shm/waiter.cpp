#include "transport/shm/waiter.h"

#include <fmt/format.h>
#include <hwy/cache_control.h>

#include <sched.h>

#include <algorithm>

namespace muster::transport::shm {

namespace {

// A sleeper looks around this often for what may wake nobody.
constexpr auto slice = std::chrono::milliseconds(50);

// A member whose heartbeat is older than this is not waiting: it was stopped.
constexpr auto stale = 3 * slice;

world::Deadline time_of(std::int64_t heartbeat) {
  return world::Deadline(world::Clock::duration(heartbeat));
}

}  // namespace

// Where every rank has a core, a peer is usually a few microseconds away and a sleep costs more
// than that, twice. But a kernel may have put two ranks on one core all the same, and leaves them
// there while they sleep in turn; those that yield to each other it soon parts. Where ranks
// outnumber cores, the core is better given to whoever is waited for.
Waiter::Waiter(const Endpoint& endpoint, Failures& failures)
    : endpoint_(endpoint),
      failures_(failures),
      bursts_(endpoint.state->oversubscribed()
                  ? Bursts{.alone = 0, .yielding = 32, .looks = 0}
                  : Bursts{.alone = 4, .yielding = 20, .looks = looks_alone}) {}

void Waiter::pause() noexcept {
  hwy::Pause();
}
void Waiter::yield() noexcept {
  sched_yield();
}

world::Deadline Waiter::deadline() {
  if (!deadline_) deadline_ = world::deadline_after(endpoint_.timeout);
  return *deadline_;
}

void Waiter::sleep_on(std::uint32_t bell) {
  const auto until = world::Clock::now() + slice;
  world::futex_wait(endpoint_.own().doorbell().bell, bell, std::min(until, deadline()));
  if (world::Clock::now() >= until) endpoint_.state->liveness().probe();
}

void Waiter::wake_sleeper(Doorbell& doorbell, std::uint32_t awaited) noexcept {
  if (!doorbell.awaited.compare_exchange_strong(awaited, 0)) return;  // another woke it
  doorbell.bell.fetch_add(1, std::memory_order_seq_cst);
  world::futex_wake_all(doorbell.bell);
}

// Follows who waits for whom, from member i on, to one that waits for nobody. Where they wait in a
// circle, one of them was stopped while it waited: the one that has not looked around for longest.
int Waiter::culprit_behind(int i) const {
  const auto now = world::Clock::now();
  std::vector<int> path;
  for (int at = i;;) {
    const Doorbell& doorbell = endpoint_.of(at).doorbell();
    const std::int64_t heartbeat = doorbell.heartbeat.load(std::memory_order_acquire);
    if (heartbeat == 0 || time_of(heartbeat) + stale < now) return at;
    path.push_back(at);
    int next = -1;
    for (int j = 0; j < endpoint_.size() && next < 0; ++j) {
      const auto word =
          doorbell.missing[static_cast<std::size_t>(j / 64)].load(std::memory_order_relaxed);
      const bool waits = (word >> (j % 64) & 1U) != 0;
      if (waits && j != endpoint_.self && std::find(path.begin(), path.end(), j) == path.end())
        next = j;
    }
    if (next < 0) break;
    at = next;
  }
  return *std::min_element(path.begin(), path.end(), [&](int a, int b) {
    return endpoint_.of(a).doorbell().heartbeat.load() <
           endpoint_.of(b).doorbell().heartbeat.load();
  });
}

Error Waiter::timeout_error(const std::vector<int>& awaited) const {
  std::vector<int> culprits;
  for (const int i : awaited) culprits.push_back(culprit_behind(i));
  std::sort(culprits.begin(), culprits.end());
  culprits.erase(std::unique(culprits.begin(), culprits.end()), culprits.end());
  std::vector<int> ranks;
  for (const int i : culprits) ranks.push_back(endpoint_.group[i]);
  return Error(ErrorCode::timeout,
               fmt::format("{}: rank {} waited {} ms in vain for rank {}",
                           endpoint_.operation(),
                           endpoint_.state->rank(),
                           endpoint_.timeout.count(),
                           fmt::join(ranks, ", rank ")),
               ranks.front());
}

}  // namespace muster::transport::shm

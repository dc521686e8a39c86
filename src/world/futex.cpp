#include "world/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace muster::world {

namespace {

// The kernel wants the address of the word's value; std::atomic<uint32_t> is just that (asserted).
const void* address(const FutexWord& word) {
  return &word;
}

}  // namespace

void futex_wait(const FutexWord& word, std::uint32_t expected, Deadline deadline) noexcept {
  using namespace std::chrono;
  const auto since_boot = duration_cast<nanoseconds>(deadline.time_since_epoch());
  const timespec until{.tv_sec = since_boot.count() / 1'000'000'000,
                       .tv_nsec = since_boot.count() % 1'000'000'000};
  // WAIT_BITSET, unlike WAIT, takes an absolute time.
  syscall(SYS_futex,
          address(word),
          FUTEX_WAIT_BITSET,
          expected,
          &until,
          nullptr,
          FUTEX_BITSET_MATCH_ANY);
}

void futex_wake_all(const FutexWord& word) noexcept {
  syscall(SYS_futex, address(word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace muster::world

// Waiting on a 32-bit word that other processes share. See futex(2), futex_waitv in futex2(2).
#pragma once

#include "world/deadline.h"

#include <atomic>
#include <cstdint>

namespace muster::world {

using FutexWord = std::atomic<std::uint32_t>;
static_assert(sizeof(FutexWord) == 4 && FutexWord::is_always_lock_free);

// Sleeps while `word` holds `expected`, until a wake, a signal or the deadline.
void futex_wait(const FutexWord& word, std::uint32_t expected, Deadline deadline) noexcept;

void futex_wake_all(const FutexWord& word) noexcept;

// A store-load barrier: what this thread stored before is visible before what it loads after.
inline void full_fence() noexcept {
#if defined(__SANITIZE_THREAD__)  // ThreadSanitizer does not model fences
  static FutexWord fence;
  fence.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace muster::world

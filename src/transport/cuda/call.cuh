// What a block knows of the call that it is in, and how it waits.
#pragma once

#include "transport/cuda/control.h"
#include "transport/cuda/words.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

inline __device__ Own& own_of(const Arguments& arguments) {
  return *reinterpret_cast<Own*>(arguments.members[arguments.self].control);
}

// What a block knows of the call.
struct Call {
  const Arguments& arguments;
  const std::uint64_t number;

  __device__ Own& own() const { return own_of(arguments); }
  __device__ std::uint32_t flag32() const { return static_cast<std::uint32_t>(number); }
  __device__ std::byte* mine(std::size_t offset) const {
    return arguments.members[arguments.self].control + offset;
  }
  __device__ std::byte* theirs(int i, std::size_t offset) const {
    return arguments.members[i].control + offset;
  }
  __device__ bool failed() const {
    return *const_cast<volatile std::uint32_t*>(&own().failed) != 0;
  }
  // The other members from the next position on, so that not all turn to the same one: k from 1.
  __device__ int peer(int k) const {
    const int i = arguments.self + k;
    return i < arguments.size ? i : i - arguments.size;
  }
};

inline __device__ bool header_is_here(const Call& call, int from) {
  const std::byte* packets = call.mine(call.arguments.layout.header(from, call.number));
  std::uint64_t unused;
  for (int word = 0; word < header_words; ++word) {
    if (!get(packets + word * sizeof(Packet), call.flag32(), unused)) return false;
  }
  return true;
}

// Fails the communicator on this device and tells the host, unless somebody has already.
//
// What is rarely called is not inlined here and below: a kernel's instructions are fetched anew on
// each multiprocessor, which a short call notices.
static __device__ __noinline__ void give_up(const Call call, Reason reason, std::uint32_t members) {
  if (atomicExch(&call.own().claimed, 1) != 0) return;
  Mapped& report = *call.arguments.mapped;
  if (reason == Reason::timeout) {
    // Who has not even come is to blame, not who waits for it too.
    std::uint32_t missing = 0;
    for (int i = 0; i < call.arguments.size; ++i) {
      if (i != call.arguments.self && !header_is_here(call, i)) missing |= 1U << i;
    }
    if (missing != 0) members = missing;
  }
  report.call = call.number;
  report.members = members;
  const std::size_t word = call.arguments.layout.gave_up(call.arguments.self);
  for (int k = 1; k < call.arguments.size; ++k) {
    set_flag(call.theirs(call.peer(k), word), call.number);
  }
  __threadfence_system();
  *const_cast<volatile std::uint32_t*>(&report.reason) = static_cast<std::uint32_t>(reason);
  __threadfence();
  *const_cast<volatile std::uint32_t*>(&call.own().failed) = 1;
}

// Has a peer given up on this call? It told so before its kernel ended.
inline __device__ bool peer_gave_up(const Call& call) {
  for (int k = 1; k < call.arguments.size; ++k) {
    const std::byte* word = call.mine(call.arguments.layout.gave_up(call.peer(k)));
    if (flag(word) == call.number) return true;
  }
  return false;
}

// Why to wait for a member no longer, if so. The host's memory is far away, and is looked at in one
// of four looks.
struct Patience {
  std::uint64_t began = 0;
  std::uint32_t looks = 0;
};
static __device__ __noinline__ Reason look_around(const Call call, int member, Patience& patience) {
  if (call.failed()) return Reason::elsewhere;
  if (++patience.looks % 4 != 0) return Reason::none;
  const Mapped& mapped = *call.arguments.mapped;
  if (from_host(&mapped.failed) != 0) return Reason::elsewhere;
  if ((from_host(&mapped.ended) >> member & 1) != 0) return Reason::lost;
  const std::uint64_t now = nanoseconds();
  if (patience.began == 0) patience.began = now;
  return now - patience.began > call.arguments.timeout_ns ? Reason::timeout : Reason::none;
}

// Looks at the data, then at failure, then at the data again: a member that delivered and then left
// is no error. False when the call is given up.
template <typename Ready>
__device__ bool wait(const Call& call, int member, Ready ready) {
  constexpr int spins_a_look = 32;
  if (ready()) return true;
  Patience patience;
  for (;;) {
#pragma unroll 1
    for (int spin = 0; spin < spins_a_look; ++spin) {
      if (ready()) return true;
    }
    const Reason reason = look_around(call, member, patience);
    if (reason == Reason::none) continue;
    if (ready()) return true;
    give_up(call, reason, 1U << member);
    return false;
  }
}

}  // namespace muster::transport::cuda

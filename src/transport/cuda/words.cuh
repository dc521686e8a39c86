// Words that devices, and the host, read and write for each other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

inline __device__ void put(std::byte* packet, std::uint64_t payload, std::uint32_t flag) {
  const std::uint64_t low = std::uint64_t{flag} << 32 | (payload & 0xffffffff);
  const std::uint64_t high = std::uint64_t{flag} << 32 | payload >> 32;
  asm volatile("st.relaxed.sys.global.v2.b64 [%0], {%1, %2};" ::"l"(packet), "l"(low), "l"(high)
               : "memory");
}

// A packet as it is found. To look at several, take them all before asking what they hold: a look
// takes as long as many at once.
struct Found {
  std::uint64_t low;
  std::uint64_t high;

  __device__ bool is_of(std::uint32_t flag) const {
    return static_cast<std::uint32_t>(low >> 32) == flag &&
           static_cast<std::uint32_t>(high >> 32) == flag;
  }
  __device__ std::uint64_t payload() const { return (low & 0xffffffff) | high << 32; }
};

inline __device__ Found find(const std::byte* packet) {
  Found found;
  asm volatile("ld.relaxed.sys.global.v2.b64 {%0, %1}, [%2];"
               : "=l"(found.low), "=l"(found.high)
               : "l"(packet)
               : "memory");
  return found;
}

inline __device__ bool get(const std::byte* packet, std::uint32_t flag, std::uint64_t& payload) {
  const Found found = find(packet);
  payload = found.payload();
  return found.is_of(flag);
}

inline __device__ void set_flag(std::byte* word, std::uint64_t value) {
  asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

// What this thread's block has done before is visible to whoever sees the count. The narrower scope
// is faster, and enough between threads of one process on one GPU (PTX ISA, scope .gpu).
inline __device__ void count_up(std::byte* word, bool one_gpu) {
  if (one_gpu) {
    asm volatile("red.release.gpu.global.add.u64 [%0], 1;" ::"l"(word) : "memory");
  } else {
    asm volatile("red.release.sys.global.add.u64 [%0], 1;" ::"l"(word) : "memory");
  }
}

inline __device__ std::uint64_t flag(const std::byte* word) {
  std::uint64_t value;
  asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
  return value;
}

inline __device__ std::uint32_t from_host(const std::uint32_t* word) {
  std::uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}

inline __device__ std::uint64_t nanoseconds() {
  std::uint64_t value;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(value));
  return value;
}

}  // namespace muster::transport::cuda

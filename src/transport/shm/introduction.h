// What a member tells the others when a communicator is made.
#pragma once

#include "muster/error.h"
#include "transport/shm/endpoint.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace muster::transport::shm {

// Where its control memory lies. A transport that has more to tell derives from it.
struct Introduction {
  static constexpr std::uint32_t current_layout = 2;

  std::uint32_t layout = current_layout;
  std::uint32_t members = 0;
  std::uint64_t control_offset = 0;
};

template <typename T>
std::vector<std::byte> to_bytes(const T& introduction) {
  static_assert(std::is_base_of_v<Introduction, T> && std::is_trivially_copyable_v<T>);
  std::vector<std::byte> bytes(sizeof introduction);
  std::memcpy(bytes.data(), &introduction, sizeof introduction);
  return bytes;
}

// Does a range of `bytes` at an aligned offset lie in an arena?
constexpr bool lies_in(std::uint64_t offset,
                       std::size_t alignment,
                       std::size_t bytes,
                       std::uint64_t arena_bytes) noexcept {
  return offset % alignment == 0 && offset <= arena_bytes && arena_bytes - offset >= bytes;
}

// A mismatch: member i's control memory is not laid out as this member's.
Error other_layout(const Endpoint& endpoint, int i);

// Throws mismatch unless a group of this size has so much control memory there.
void check_introduction(const Endpoint& endpoint,
                        int i,
                        const Introduction& introduction,
                        std::size_t control_bytes);

// Member i's introduction. Throws mismatch.
template <typename T>
T from_bytes(const Endpoint& endpoint,
             int i,
             const std::vector<std::byte>& bytes,
             std::size_t control_bytes) {
  static_assert(std::is_base_of_v<Introduction, T> && std::is_trivially_copyable_v<T>);
  if (bytes.size() != sizeof(T)) throw other_layout(endpoint, i);
  T introduction;
  std::memcpy(&introduction, bytes.data(), sizeof introduction);
  check_introduction(endpoint, i, introduction, control_bytes);
  return introduction;
}

}  // namespace muster::transport::shm

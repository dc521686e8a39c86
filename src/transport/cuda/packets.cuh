// Short sections: they travel as packets beside the headers (LL: data and flag in one word, after
// NCCL's protocol of that name), wherever the output lies.
#pragma once

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/rows.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

// Where byte `at` of a section lies.
inline __device__ std::byte* byte_at(const Rows& rows, std::uint32_t row_bytes, std::uint32_t at) {
  const std::uint32_t row = at / row_bytes;
  return rows.base + row * rows.stride + (at - row * row_bytes);
}

// Eight bytes of a section, fewer at its end.
inline __device__ std::uint64_t load_payload(
    const Rows& rows, std::uint32_t row_bytes, std::uint32_t bytes, std::uint32_t at, int width) {
  if (width == 8)
    return __ldg(reinterpret_cast<const unsigned long long*>(byte_at(rows, row_bytes, at)));
  std::uint64_t payload = 0;
  for (std::uint32_t b = 0; b < packet_payload && at + b < bytes; b += width) {
    const std::byte* from = byte_at(rows, row_bytes, at + b);
    std::uint64_t part;
    if (width == 4) {
      part = __ldg(reinterpret_cast<const std::uint32_t*>(from));
    } else if (width == 2) {
      part = __ldg(reinterpret_cast<const std::uint16_t*>(from));
    } else {
      part = __ldg(reinterpret_cast<const std::uint8_t*>(from));
    }
    payload |= part << (8 * b);
  }
  return payload;
}

inline __device__ void store_payload(const Rows& rows,
                                     std::uint32_t row_bytes,
                                     std::uint32_t bytes,
                                     std::uint32_t at,
                                     int width,
                                     std::uint64_t payload) {
  if (width == 8) {
    *reinterpret_cast<std::uint64_t*>(byte_at(rows, row_bytes, at)) = payload;
    return;
  }
  for (std::uint32_t b = 0; b < packet_payload && at + b < bytes; b += width) {
    std::byte* to = byte_at(rows, row_bytes, at + b);
    const std::uint64_t part = payload >> (8 * b);
    if (width == 4) {
      *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(part);
    } else if (width == 2) {
      *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(part);
    } else {
      *reinterpret_cast<std::uint8_t*>(to) = static_cast<std::uint8_t>(part);
    }
  }
}

// This thread's packets of the call: every `step`-th from `first` on. What lies in memory is asked
// for as early as can be, the first packet of the section before the call's number is known.
struct Share {
  std::uint32_t first;
  std::uint32_t step;
  std::uint64_t payload;  // of this member's first packet
};

inline __device__ Share begin_share(const Arguments& a) {
  const std::uint32_t first = blockIdx.x * blockDim.x + threadIdx.x;
  const Rows shard = own_shard(a);
  const auto row_bytes = static_cast<std::uint32_t>(a.header.row_bytes);
  const auto bytes = static_cast<std::uint32_t>(a.outer * a.header.row_bytes);
  std::uint64_t payload = 0;
  if (first * packet_payload < bytes) {
    payload = load_payload(shard,
                           row_bytes,
                           bytes,
                           first * packet_payload,
                           alignment(shard, row_bytes, packet_payload));
  }
  return {first, gridDim.x * blockDim.x, payload};
}

// Calls function(i, payload) for this thread's packets of this member's section.
template <typename Function>
__device__ void for_each_own(const Arguments& a, const Share& share, Function function) {
  const Rows shard = own_shard(a);
  const auto row_bytes = static_cast<std::uint32_t>(a.header.row_bytes);
  const auto bytes = static_cast<std::uint32_t>(a.outer * a.header.row_bytes);
  if (share.first * packet_payload >= bytes) return;
  function(share.first, share.payload);
  const int width = alignment(shard, row_bytes, packet_payload);
  for (std::uint32_t i = share.first + share.step; i * packet_payload < bytes; i += share.step) {
    function(i, load_payload(shard, row_bytes, bytes, i * packet_payload, width));
  }
}

inline __device__ void send_packets(const Call& call, const Share& share) {
  const Arguments& a = call.arguments;
  const std::size_t slot = a.layout.packets(a.self, call.number);
  for_each_own(a, share, [&](std::uint32_t i, std::uint64_t payload) {
    for (int k = 1; k < a.size; ++k) {
      put(call.theirs(call.peer(k), slot) + std::size_t{i} * sizeof(Packet),
          payload,
          call.flag32());
    }
  });
}

inline __device__ void keep_own(const Call& call, const Terms& terms, const Share& share) {
  const Arguments& a = call.arguments;
  if (a.header.in_place_offset != Gather::not_in_place) return;
  const Rows to = own_output(call, terms, a.self);
  const auto row_bytes = static_cast<std::uint32_t>(a.header.row_bytes);
  const auto bytes = static_cast<std::uint32_t>(a.outer * a.header.row_bytes);
  const int width = alignment(to, row_bytes, packet_payload);
  for_each_own(a, share, [&](std::uint32_t i, std::uint64_t payload) {
    store_payload(to, row_bytes, bytes, i * packet_payload, width, payload);
  });
}

// Packets of a few peers, looked at in one go: a look takes as long as many looks at once.
struct Looks {
  static constexpr int peers = 4;

  std::uint64_t payload[peers];
  bool here[peers];
};

// Packet i of the peers from the k-th on.
inline __device__ Looks look(const Call& call, int k, std::uint32_t i) {
  const Arguments& a = call.arguments;
  Looks looks;
#pragma unroll
  for (int j = 0; j < Looks::peers; ++j) {
    looks.here[j] = false;
    if (k + j >= a.size) continue;
    const std::byte* slot = call.mine(a.layout.packets(call.peer(k + j), call.number));
    looks.here[j] = get(slot + std::size_t{i} * sizeof(Packet), call.flag32(), looks.payload[j]);
  }
  return looks;
}

// Waits for packet i of the peers from the k-th on, and unpacks it. False when the call is given
// up.
inline __device__ bool take_packets(
    const Call& call, const Terms& terms, int k, std::uint32_t i, Looks looks) {
  const Arguments& a = call.arguments;
#pragma unroll
  for (int j = 0; j < Looks::peers; ++j) {
    if (k + j >= a.size) continue;
    const int from = call.peer(k + j);
    const auto row_bytes = static_cast<std::uint32_t>(terms.header(from).row_bytes);
    const auto bytes = static_cast<std::uint32_t>(a.outer * row_bytes);
    if (i * packet_payload >= bytes) continue;
    std::uint64_t payload = looks.payload[j];
    if (!looks.here[j]) {
      const std::byte* packet =
          call.mine(a.layout.packets(from, call.number)) + std::size_t{i} * sizeof(Packet);
      if (!wait(call, from, [&] { return get(packet, call.flag32(), payload); })) return false;
    }
    const Rows to = own_output(call, terms, from);
    store_payload(to,
                  row_bytes,
                  bytes,
                  i * packet_payload,
                  alignment(to, row_bytes, packet_payload),
                  payload);
  }
  return true;
}

// `early`: looks at this thread's first packet of the first peers.
inline __device__ void receive_packets(const Call& call,
                                       const Terms& terms,
                                       const Share& share,
                                       const Looks& early) {
  const Arguments& a = call.arguments;
  std::uint64_t longest = 0;
  for (int from = 0; from < a.size; ++from) {
    if (from != a.self) longest = max(longest, a.outer * terms.header(from).row_bytes);
  }
  for (std::uint32_t i = share.first; i * packet_payload < longest; i += share.step) {
    for (int k = 1; k < a.size; k += Looks::peers) {
      const bool looked = i == share.first && k == 1;
      if (!take_packets(call, terms, k, i, looked ? early : look(call, k, i))) return;
    }
  }
}

}  // namespace muster::transport::cuda

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

inline __device__ void send_packets(const Call& call, std::uint32_t first, std::uint32_t step) {
  const Arguments& a = call.arguments;
  const Rows shard = own_shard(call);
  const auto row_bytes = static_cast<std::uint32_t>(a.header.row_bytes);
  const auto bytes = static_cast<std::uint32_t>(a.outer * a.header.row_bytes);
  const std::size_t slot = a.layout.packets(a.self, call.number);
  const int width = alignment(shard, row_bytes, packet_payload);
  for (std::uint32_t i = first; i * packet_payload < bytes; i += step) {
    const std::uint64_t payload = load_payload(shard, row_bytes, bytes, i * packet_payload, width);
    for (int k = 1; k < a.size; ++k) {
      put(call.theirs(call.peer(k), slot) + std::size_t{i} * sizeof(Packet),
          payload,
          call.flag32());
    }
  }
}

inline __device__ void keep_own(const Call& call,
                                const Terms& terms,
                                std::uint32_t first,
                                std::uint32_t step) {
  const Arguments& a = call.arguments;
  if (a.header.in_place_offset != Gather::not_in_place) return;
  const Rows to = own_output(call, terms, a.self);
  copy<Whose::own>(
      &to, 1, own_shard(call), a.header.row_bytes, 0, a.outer * a.header.row_bytes, first, step);
}

inline __device__ void receive_packets(const Call& call,
                                       const Terms& terms,
                                       std::uint32_t first,
                                       std::uint32_t step) {
  const Arguments& a = call.arguments;
  for (int k = 1; k < a.size; ++k) {
    const int from = call.peer(k);
    const Rows to = own_output(call, terms, from);
    const auto row_bytes = static_cast<std::uint32_t>(terms.header(from).row_bytes);
    const auto bytes = static_cast<std::uint32_t>(a.outer * row_bytes);
    const std::byte* slot = call.mine(a.layout.packets(from, call.number));
    const int width = alignment(to, row_bytes, packet_payload);
    for (std::uint32_t i = first; i * packet_payload < bytes; i += step) {
      const std::byte* packet = slot + std::size_t{i} * sizeof(Packet);
      std::uint64_t payload;
      if (!wait(call, from, [&] { return get(packet, call.flag32(), payload); })) return;
      store_payload(to, row_bytes, bytes, i * packet_payload, width, payload);
    }
  }
}

}  // namespace muster::transport::cuda

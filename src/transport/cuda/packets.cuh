// Short sections: they travel as packets beside the headers (LL: data and flag in one word, after
// NCCL's protocol of that name), wherever the output lies.
#pragma once

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/rows.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

// A section as the run of bytes that travels: its rows behind each other.
struct Run {
  std::byte* base;
  std::uint64_t gap;  // from the end of a row to the next one
  std::uint64_t reciprocal;
  std::uint32_t bytes;
  std::uint32_t width;  // of the words that a packet's bytes can be moved by

  __device__ std::byte* at(std::uint32_t byte) const {
    return base + byte + (byte * reciprocal >> reciprocal_bits) * gap;
  }
};

inline __device__ Run run_of(const Rows& rows,
                             std::uint64_t outer,
                             std::uint64_t row_bytes,
                             std::uint64_t reciprocal) {
  return {rows.base,
          rows.stride - row_bytes,
          reciprocal,
          static_cast<std::uint32_t>(outer * row_bytes),
          alignment(rows, row_bytes, packet_payload)};
}

inline __device__ Run own_run(const Arguments& a) {
  return run_of(own_shard(a), a.outer, a.header.row_bytes, a.reciprocal);
}

// Eight bytes of a section by narrower words, fewer at its end.
static __device__ __noinline__ std::uint64_t load_parts(const Run run, std::uint32_t at) {
  std::uint64_t payload = 0;
  for (std::uint32_t b = 0; b < packet_payload && at + b < run.bytes; b += run.width) {
    const std::byte* from = run.at(at + b);
    std::uint64_t part;
    if (run.width == 4) {
      part = __ldg(reinterpret_cast<const std::uint32_t*>(from));
    } else if (run.width == 2) {
      part = __ldg(reinterpret_cast<const std::uint16_t*>(from));
    } else {
      part = __ldg(reinterpret_cast<const std::uint8_t*>(from));
    }
    payload |= part << (8 * b);
  }
  return payload;
}

static __device__ __noinline__ void store_parts(const Run run,
                                                std::uint32_t at,
                                                std::uint64_t payload) {
  for (std::uint32_t b = 0; b < packet_payload && at + b < run.bytes; b += run.width) {
    std::byte* to = run.at(at + b);
    const std::uint64_t part = payload >> (8 * b);
    if (run.width == 4) {
      *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(part);
    } else if (run.width == 2) {
      *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(part);
    } else {
      *reinterpret_cast<std::uint8_t*>(to) = static_cast<std::uint8_t>(part);
    }
  }
}

// Packet i of a section.
inline __device__ std::uint64_t load_packet(const Run& run, std::uint32_t i) {
  const std::uint32_t at = i * packet_payload;
  if (run.width != packet_payload) return load_parts(run, at);
  return __ldg(reinterpret_cast<const unsigned long long*>(run.at(at)));
}

inline __device__ void store_packet(const Run& run, std::uint32_t i, std::uint64_t payload) {
  const std::uint32_t at = i * packet_payload;
  if (run.width != packet_payload) return store_parts(run, at, payload);
  *reinterpret_cast<std::uint64_t*>(run.at(at)) = payload;
}

// This thread's packets of the call: every `step`-th from `first` on. The first one of this
// member's section is asked for before the call's number is known.
struct Share {
  std::uint32_t first;
  std::uint32_t step;
  std::uint64_t payload;
};

inline __device__ Share begin_share(const Run& own) {
  const std::uint32_t first = blockIdx.x * blockDim.x + threadIdx.x;
  const bool any = first * packet_payload < own.bytes;
  return {first, gridDim.x * blockDim.x, any ? load_packet(own, first) : 0};
}

// Calls function(i, payload) for this thread's packets of this member's section.
template <typename Function>
__device__ void for_each_own(const Run& own, const Share& share, Function function) {
  if (share.first * packet_payload >= own.bytes) return;
  function(share.first, share.payload);
#pragma unroll 1
  for (std::uint32_t i = share.first + share.step; i * packet_payload < own.bytes;
       i += share.step) {
    function(i, load_packet(own, i));
  }
}

inline __device__ void send_packets(const Call& call, const Run& own, const Share& share) {
  const Arguments& a = call.arguments;
  const std::size_t slot = a.layout.packets(a.self, call.number);
  for_each_own(own, share, [&](std::uint32_t i, std::uint64_t payload) {
#pragma unroll 1
    for (int k = 1; k < a.size; ++k) {
      put(call.theirs(call.peer(k), slot) + std::size_t{i} * sizeof(Packet),
          payload,
          call.flag32());
    }
  });
}

// Where a member's section belongs in this member's output.
inline __device__ Run output_run(const Call& call, const Terms& terms, int from) {
  return run_of(own_output(call, terms, from),
                call.arguments.outer,
                terms.header(from).row_bytes,
                terms.reciprocal[from]);
}

inline __device__ void keep_own(const Call& call,
                                const Terms& terms,
                                const Run& own,
                                const Share& share) {
  const Arguments& a = call.arguments;
  if (a.header.in_place_offset != Gather::not_in_place) return;
  const Run to = output_run(call, terms, a.self);
  for_each_own(
      own, share, [&](std::uint32_t i, std::uint64_t payload) { store_packet(to, i, payload); });
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
    const Run to = output_run(call, terms, from);
    if (i * packet_payload >= to.bytes) continue;
    if (!looks.here[j]) {
      const std::byte* packet =
          call.mine(a.layout.packets(from, call.number)) + std::size_t{i} * sizeof(Packet);
      if (!wait(call, from, [&] { return get(packet, call.flag32(), looks.payload[j]); })) {
        return false;
      }
    }
    store_packet(to, i, looks.payload[j]);
  }
  return true;
}

inline __device__ void receive_packets(const Call& call, const Terms& terms, const Share& share) {
  const Arguments& a = call.arguments;
  std::uint64_t longest = 0;
  for (int from = 0; from < a.size; ++from) {
    if (from != a.self) longest = max(longest, a.outer * terms.header(from).row_bytes);
  }
  for (std::uint32_t i = share.first; i * packet_payload < longest; i += share.step) {
    for (int k = 1; k < a.size; k += Looks::peers) {
      if (!take_packets(call, terms, k, i, look(call, k, i))) return;
    }
  }
}

// Gives a new flag to what nobody has sent in this call. Behind it, and by the thread that would
// have received it: then nothing of this call is under way to there, and nobody sends there before
// this member's next header.
static __device__ __noinline__ void renew_packets(const Call call) {
  const Layout& layout = call.arguments.layout;
  const auto packets = static_cast<std::uint32_t>(layout.slot_bytes / sizeof(Packet));
  for (int k = 1; k < call.arguments.size; ++k) {
    std::byte* const slot = call.mine(layout.packets(call.peer(k), call.number));
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < packets;
         i += gridDim.x * blockDim.x) {
      std::byte* const packet = slot + std::size_t{i} * sizeof(Packet);
      if (!find(packet).is_of(call.flag32())) put(packet, 0, call.flag32());
    }
  }
}

// What comes in goes where the headers say. By the block.
static __device__ __noinline__ void unpack_as_agreed(const Call call, bool failed) {
  __shared__ Terms terms;
  const Arguments& a = call.arguments;
  if (!agree(call, terms, !failed && receive_headers(call, terms))) return;
  const int i = static_cast<int>(threadIdx.x);
  if (i < a.size) terms.reciprocal[i] = reciprocal_of(terms.header(i).row_bytes);
  __syncthreads();
  const Run own = own_run(a);
  const Share share = begin_share(own);
  keep_own(call, terms, own, share);
  receive_packets(call, terms, share);
}

}  // namespace muster::transport::cuda

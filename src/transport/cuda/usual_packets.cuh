// The usual gather of short sections: all are alike, and of whole packets. It has a kernel of its
// own, of few instructions and little that waits for something else: at a kilobyte, half of the
// time is what a kernel does before and after it looks at its peers.
#pragma once

#include "transport/cuda/agreement.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

// This thread's packet of every section, and where in its rows it lies.
struct Slice {
  std::uint32_t packet;
  std::uint32_t byte;
  std::uint32_t row;
  bool any;  // has it one?

  __device__ explicit Slice(const Arguments& a)
      : packet(blockIdx.x * blockDim.x + threadIdx.x),
        byte(packet * static_cast<std::uint32_t>(packet_payload)),
        row(static_cast<std::uint32_t>(byte * a.reciprocal >> reciprocal_bits)),
        any(byte < static_cast<std::uint32_t>(a.outer * a.header.row_bytes)) {}

  __device__ std::size_t in(const Arguments& a, std::uint64_t stride) const {
    return byte + row * (stride - a.header.row_bytes);
  }
};

template <int most>
__device__ void send_packet(const Call& call, const Slice& slice, std::uint64_t payload) {
  const Arguments& a = call.arguments;
  const std::size_t at =
      a.layout.packets(a.self, call.number) + std::size_t{slice.packet} * sizeof(Packet);
#pragma unroll
  for (int k = 1; k < most; ++k) {
    if (k < a.size) put(call.theirs(call.peer(k), at), payload, call.flag32());
  }
}

// Where a thread looks: at its packet of each peer, and in the block's first warp at a word of some
// members' headers. Places of members that there are not, and of this member itself, are looked at
// too, and count for nothing.
template <int most>
struct View {
  static constexpr int lanes = 8;  // of a warp, to a header
  static constexpr int passes = (most * lanes + 31) / 32;

  const std::byte* header[passes];
  const std::byte* packet[most - 1];
  int word;

  __device__ View(const Call& call, const Slice& slice) {
    const Arguments& a = call.arguments;
    word = min(static_cast<int>(threadIdx.x % lanes), compared_words - 1);
#pragma unroll
    for (int p = 0; p < passes; ++p) {
      const int from = member(p) < a.size ? member(p) : a.self;
      header[p] = call.mine(a.layout.header(from, call.number)) + word * sizeof(Packet);
    }
#pragma unroll
    for (int k = 1; k < most; ++k) {
      const int from = k < a.size ? call.peer(k) : a.self;
      packet[k - 1] =
          call.mine(a.layout.packets(from, call.number)) + slice.packet * sizeof(Packet);
    }
  }

  // Few are enough to look at headers, and many at one cache line hold up each other.
  __device__ static bool sees_headers() {
    return threadIdx.x < 32;
  }
  __device__ static int member(int pass) {
    return pass * (32 / lanes) + static_cast<int>(threadIdx.x % 32 / lanes);
  }
};

// By each warp: looks until it has its packets, and the first one until it has seen that all
// members' headers are alike. False if they are not, or if it has looked for long: then the other
// way has to be gone, in which there is time to look for what is wrong.
template <int most>
__device__ bool see_all(const Call& call, const Slice& slice, std::uint64_t (&payload)[most - 1]) {
  constexpr int most_looks = 1000;  // some hundred microseconds
  const Arguments& a = call.arguments;
  const View<most> view(call, slice);
#pragma unroll 1
  for (int looks = 0; looks < most_looks; ++looks) {
    Found header[View<most>::passes] = {};
    Found packet[most - 1];
#pragma unroll
    for (int p = 0; p < View<most>::passes; ++p) {
      if (View<most>::sees_headers()) header[p] = find(view.header[p]);
    }
#pragma unroll
    for (int k = 1; k < most; ++k) packet[k - 1] = find(view.packet[k - 1]);

    bool alike = true;
    bool all = true;
#pragma unroll
    for (int p = 0; p < View<most>::passes; ++p) {
      const int from = View<most>::member(p);
      const bool counts = View<most>::sees_headers() && from < a.size && from != a.self;
      const bool here = header[p].is_of(call.flag32());
      all = all && (here || !counts);
      alike = alike && (!here || !counts || is_alike(a, from, view.word, header[p].payload()));
    }
#pragma unroll
    for (int k = 1; k < most; ++k) {
      const bool counts = k < a.size && slice.any;
      all = all && (packet[k - 1].is_of(call.flag32()) || !counts);
      payload[k - 1] = packet[k - 1].payload();
    }
    if (__any_sync(~0U, !alike)) return false;
    if (__all_sync(~0U, all)) return true;
  }
  return false;
}

template <int most>
__device__ void unpack(const Call& call,
                       const Slice& slice,
                       std::uint64_t own,
                       const std::uint64_t (&payload)[most - 1]) {
  const Arguments& a = call.arguments;
  if (!slice.any) return;
  std::byte* const place = a.output + slice.in(a, a.output_stride);
  const auto section = [&](int i) {
    return reinterpret_cast<std::uint64_t*>(place +
                                            static_cast<std::uint32_t>(i) * a.header.row_bytes);
  };
  if (a.header.in_place_offset == Gather::not_in_place) *section(a.self) = own;
#pragma unroll
  for (int k = 1; k < most; ++k) {
    if (k < a.size) *section(call.peer(k)) = payload[k - 1];
  }
}

}  // namespace muster::transport::cuda

// The first half of a call: members exchange headers, and go on only if all agree.
#pragma once

#include "transport/cuda/call.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

// What the members agree on, in the block's shared memory.
struct Terms {
  std::uint64_t headers[most_members][header_words];
  std::uint64_t row_offset[most_members];
  std::uint64_t reciprocal[most_members];  // of row_bytes, where sections travel as packets

  __device__ const Header& header(int i) const {
    return *reinterpret_cast<const Header*>(headers[i]);
  }
};

inline __device__ std::uint64_t word_of(const Header& header, int word) {
  return reinterpret_cast<const std::uint64_t*>(&header)[word];
}

// By one block, whose last threads come first: where sections travel as packets, these have the
// least to do.
inline __device__ void send_headers(const Call& call) {
  const Arguments& a = call.arguments;
  for (int t = blockDim.x - 1 - threadIdx.x; t < a.size * packets_a_header; t += blockDim.x) {
    const int to = t / packets_a_header;
    const int word = t % packets_a_header;
    if (to == a.self || word >= header_words) continue;
    put(call.theirs(to, a.layout.header(a.self, call.number)) + word * sizeof(Packet),
        word_of(a.header, word),
        call.flag32());
  }
}

// False when this thread has given up.
inline __device__ bool receive_headers(const Call& call, Terms& terms) {
  const Arguments& a = call.arguments;
  for (int t = threadIdx.x; t < a.size * packets_a_header; t += blockDim.x) {
    const int from = t / packets_a_header;
    const int word = t % packets_a_header;
    if (word >= header_words) continue;
    std::uint64_t payload = word_of(a.header, word);
    if (from != a.self) {
      const std::byte* packet =
          call.mine(a.layout.header(from, call.number)) + word * sizeof(Packet);
      if (!wait(call, from, [&] { return get(packet, call.flag32(), payload); })) return false;
    }
    terms.headers[from][word] = payload;
  }
  return true;
}

// Of a header: what type, what shape, how long rows are, and whether the section is in place. And
// these, with where to push.
inline constexpr int compared_words = offsetof(Header, in_place_offset) / 8 + 1;
inline constexpr int pushed_words = offsetof(Header, output_offset) / 8 + 1;
static_assert(offsetof(Header, in_place_offset) > offsetof(Header, output_row_bytes) &&
              pushed_words > compared_words && pushed_words * sizeof(Packet) <= cache_line);

// Is this word of member i's header what this member would say in its place, as far as it says
// which bytes go where? Where a section or an output lies is each member's own affair.
inline __device__ bool is_alike(const Arguments& a, int i, int word, std::uint64_t payload) {
  constexpr int in_place = offsetof(Header, in_place_offset) / 8;
  if (word > in_place) return true;
  if (word < in_place) return payload == word_of(a.header, word);
  return static_cast<std::int64_t>(payload) == Gather::not_in_place ||
         payload == static_cast<std::uint32_t>(i) * a.header.row_bytes;
}

inline __device__ bool fits(std::uint64_t offset,
                            std::uint64_t stride,
                            std::uint64_t row_bytes,
                            std::uint64_t outer,
                            std::uint64_t arena_bytes) {
  if (offset == private_memory || outer == 0 || row_bytes == 0) return true;
  if (offset > arena_bytes || row_bytes > arena_bytes - offset) return false;
  if (__umul64hi(outer - 1, stride) != 0) return false;
  return (outer - 1) * stride <= arena_bytes - offset - row_bytes;
}

// Does member i's header go with this member's? Fills in its row offset. As shm::check_terms(),
// which puts what this finds into words.
inline __device__ bool agrees(const Call& call, Terms& terms, int i) {
  const Arguments& a = call.arguments;
  const Header& mine = a.header;
  const Header& theirs = terms.header(i);
  std::uint64_t offset = 0;
  std::uint64_t sum = 0;
  for (int j = 0; j < a.size; ++j) {
    if (j == i) offset = sum;
    sum += terms.header(j).row_bytes;
    if (terms.header(j).row_bytes > mine.output_row_bytes || sum > mine.output_row_bytes) {
      return false;
    }
  }
  terms.row_offset[i] = offset;
  const std::uint64_t arena = a.members[i].arena_bytes;
  return word_of(mine, 0) == word_of(theirs, 0) && mine.shape_hash == theirs.shape_hash &&
         sum == theirs.output_row_bytes &&
         (theirs.in_place_offset == Gather::not_in_place ||
          static_cast<std::uint64_t>(theirs.in_place_offset) == offset) &&
         fits(theirs.shard_offset, theirs.shard_stride, theirs.row_bytes, a.outer, arena) &&
         fits(theirs.output_offset, theirs.output_stride, theirs.output_row_bytes, a.outer, arena);
}

inline __device__ void report_mismatch(const Call& call,
                                       const Terms& terms,
                                       std::uint32_t members) {
  if (atomicExch(&call.own().claimed, 1) != 0) return;
  Mapped& report = *call.arguments.mapped;
  auto* const headers = reinterpret_cast<std::uint64_t(*)[header_words]>(&report + 1);
  for (int i = 0; i < call.arguments.size; ++i) {
    for (int word = 0; word < header_words; ++word) headers[i][word] = terms.headers[i][word];
  }
  report.call = call.number;
  report.members = members;
  report.outer = call.arguments.outer;
  __threadfence_system();
  *const_cast<volatile std::uint32_t*>(&report.reason) =
      static_cast<std::uint32_t>(Reason::mismatch);
  __threadfence();
  *const_cast<volatile std::uint32_t*>(&call.own().failed) = 1;
}

// Checks the headers. `received`: whether this thread has those that it waits for. False, for all
// threads of the block, when the call is given up.
inline __device__ bool agree(const Call& call, Terms& terms, bool received) {
  if (__syncthreads_or(!received) != 0) return false;
  const int i = static_cast<int>(threadIdx.x);
  const bool mismatch = i < call.arguments.size && !agrees(call, terms, i);
  if (__syncthreads_or(mismatch) == 0) return true;
  if (threadIdx.x == 0) report_mismatch(call, terms, 0);
  return false;
}

}  // namespace muster::transport::cuda

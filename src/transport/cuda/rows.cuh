// Copying rows of bytes, by the widest words that their places allow.
#pragma once

#include "transport/cuda/agreement.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

// Rows of bytes at a stride.
struct Rows {
  std::byte* base;
  std::uint64_t stride;
};

inline __device__ Rows own_output(const Call& call, const Terms& terms, int sender) {
  return {call.arguments.output + terms.row_offset[sender], call.arguments.output_stride};
}

inline __device__ Rows own_shard(const Arguments& arguments) {
  return {const_cast<std::byte*>(arguments.shard), arguments.shard_stride};
}

// The lowest bit that is set in any address of a run of rows, as far as `most`.
inline __device__ std::uint32_t alignment(const Rows& rows,
                                          std::uint64_t row_bytes,
                                          std::uint32_t most) {
  const std::uint64_t bits =
      reinterpret_cast<std::uint64_t>(rows.base) | rows.stride | row_bytes | most;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

enum class Whose { own, peers };

// Non-coherent only where no peer writes: what lies in this member's own shard.
template <Whose whose, typename Word>
__device__ Word load(const Word* from) {
  if constexpr (whose == Whose::own) {
    return __ldg(from);
  } else {
    return __ldcg(from);
  }
}

template <typename Word, typename Index>
__device__ Word* place(const Rows& rows, Index row, Index column) {
  return reinterpret_cast<Word*>(rows.base + row * rows.stride) + column;
}

// Copies the words [begin, end) of a section to several places, each word read once. `row_words`
// words lie in a row; this thread takes every `step`-th word from `first` on.
template <Whose whose, typename Word, typename Index>
__device__ void copy_words(const Rows* to,
                           int places,
                           const Rows& from,
                           std::uint64_t row_words64,
                           std::uint64_t begin,
                           std::uint64_t end,
                           std::uint32_t first,
                           std::uint32_t step) {
  constexpr int unrolled = sizeof(Word) == 16 ? 4 : 8;
  const Index row_words = static_cast<Index>(row_words64);
  std::uint64_t i = begin + first;
  for (; i + std::uint64_t{step} * (unrolled - 1) < end; i += std::uint64_t{step} * unrolled) {
    Word words[unrolled];
    Index row[unrolled], column[unrolled];
#pragma unroll
    for (int u = 0; u < unrolled; ++u) {
      const auto index = static_cast<Index>(i + std::uint64_t{step} * u);
      row[u] = index / row_words;
      column[u] = index - row[u] * row_words;
      words[u] = load<whose, Word>(place<Word>(from, row[u], column[u]));
    }
    for (int p = 0; p < places; ++p) {
      const Rows rows = to[p];
#pragma unroll
      for (int u = 0; u < unrolled; ++u) *place<Word>(rows, row[u], column[u]) = words[u];
    }
  }
  for (; i < end; i += step) {
    const auto index = static_cast<Index>(i);
    const Index row = index / row_words;
    const Index column = index - row * row_words;
    const Word word = load<whose, Word>(place<Word>(from, row, column));
    for (int p = 0; p < places; ++p) *place<Word>(to[p], row, column) = word;
  }
}

template <Whose whose, typename Word>
__device__ void copy_as(const Rows* to,
                        int places,
                        const Rows& from,
                        std::uint64_t row_bytes,
                        std::uint64_t begin,
                        std::uint64_t end,
                        std::uint32_t first,
                        std::uint32_t step) {
  constexpr std::uint64_t size = sizeof(Word);
  const std::uint64_t most = std::uint64_t{1} << 32;
  if (end / size < most && row_bytes / size < most) {
    copy_words<whose, Word, std::uint32_t>(
        to, places, from, row_bytes / size, begin / size, end / size, first, step);
  } else {
    copy_words<whose, Word, std::uint64_t>(
        to, places, from, row_bytes / size, begin / size, end / size, first, step);
  }
}

// The bytes [begin, end) of a section of rows, by the widest words that all places allow.
template <Whose whose>
__device__ void copy(const Rows* to,
                     int places,
                     const Rows& from,
                     std::uint64_t row_bytes,
                     std::uint64_t begin,
                     std::uint64_t end,
                     std::uint32_t first,
                     std::uint32_t step) {
  if (begin >= end) return;
  std::uint32_t width = alignment(from, row_bytes | begin | end, 16);
  for (int p = 0; p < places; ++p) width = min(width, alignment(to[p], row_bytes, 16));
  switch (width) {
    case 16:
      return copy_as<whose, uint4>(to, places, from, row_bytes, begin, end, first, step);
    case 8:
      return copy_as<whose, uint2>(to, places, from, row_bytes, begin, end, first, step);
    case 4:
      return copy_as<whose, std::uint32_t>(to, places, from, row_bytes, begin, end, first, step);
    case 2:
      return copy_as<whose, std::uint16_t>(to, places, from, row_bytes, begin, end, first, step);
    default:
      return copy_as<whose, std::uint8_t>(to, places, from, row_bytes, begin, end, first, step);
  }
}

}  // namespace muster::transport::cuda

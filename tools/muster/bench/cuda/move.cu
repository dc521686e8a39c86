#include "bench/cuda/move.h"

#include <algorithm>
#include <cstdint>

namespace muster::tool {
namespace {

constexpr int threads = 512;
constexpr int unrolled = 4;

__global__ void __launch_bounds__(threads) move(const __grid_constant__ RowsToMove m) {
  const std::size_t row_words = m.row_bytes / 16;
  const std::size_t words = m.rows * row_words;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < words;
       i += step * unrolled) {
    uint4 word[unrolled];
#pragma unroll
    for (int u = 0; u < unrolled; ++u) {
      const std::size_t at = i + step * u;
      if (at >= words) continue;
      const auto row = static_cast<std::uint32_t>(at) / static_cast<std::uint32_t>(row_words);
      word[u] = __ldg(reinterpret_cast<const uint4*>(m.from.base + row * m.from.stride) +
                      (at - row * row_words));
    }
#pragma unroll
    for (int u = 0; u < unrolled; ++u) {
      const std::size_t at = i + step * u;
      if (at >= words) continue;
      const auto row = static_cast<std::uint32_t>(at) / static_cast<std::uint32_t>(row_words);
      for (int p = 0; p < m.places; ++p) {
        reinterpret_cast<uint4*>(m.to[p].base + row * m.to[p].stride)[at - row * row_words] =
            word[u];
      }
    }
  }
}

__global__ void __launch_bounds__(threads) permute(
    const uint4* from, uint4* to, std::uint32_t members, std::size_t rows, std::size_t row_words) {
  const std::size_t section = rows * row_words;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < section * members;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const std::size_t member = i / section;
    const std::size_t at = i - member * section;
    const std::size_t row = at / row_words;
    to[(row * members + member) * row_words + (at - row * row_words)] = from[i];
  }
}

int blocks_for(std::size_t words, int most) {
  return static_cast<int>(std::clamp<std::size_t>((words + threads - 1) / threads, 1, most));
}

}  // namespace

bool can_move(std::size_t row_bytes) {
  return row_bytes % 16 == 0;
}

void move_rows(const RowsToMove& m, int blocks, cudaStream_t stream) {
  const std::size_t words = m.rows * m.row_bytes / 16;
  move<<<blocks_for((words + unrolled - 1) / unrolled, blocks), threads, 0, stream>>>(m);
}

void permute_rows(const std::byte* from,
                  std::byte* to,
                  int members,
                  std::size_t rows,
                  std::size_t row_bytes,
                  cudaStream_t stream) {
  const std::size_t words = rows * row_bytes / 16 * static_cast<std::size_t>(members);
  permute<<<blocks_for(words, 132 * 8), threads, 0, stream>>>(reinterpret_cast<const uint4*>(from),
                                                              reinterpret_cast<uint4*>(to),
                                                              static_cast<std::uint32_t>(members),
                                                              rows,
                                                              row_bytes / 16);
}

}  // namespace muster::tool

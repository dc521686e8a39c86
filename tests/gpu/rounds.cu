#include "gpu/rounds.h"

namespace muster::test {
namespace {

constexpr int blocks = 4;
constexpr int threads = 256;

__device__ std::uint8_t due(std::uint64_t round, int rank, std::size_t at) {
  std::uint64_t x = (round * 64 + rank) * 0x9e3779b97f4a7c15 + at;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return static_cast<std::uint8_t>(x >> 56);
}

__global__ void count(Rounds* rounds) {
  ++rounds->round;
}

__global__ void fill(const Rounds* rounds, std::byte* shard, std::size_t bytes, int rank) {
  for (std::size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < bytes;
       i += gridDim.x * blockDim.x) {
    shard[i] = static_cast<std::byte>(due(rounds->round, rank, i));
  }
}

__global__ void check(
    Rounds* rounds, const std::byte* full, int ranks, std::size_t rows, std::size_t row_bytes) {
  unsigned long long wrong = 0;
  for (std::size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < rows * ranks * row_bytes;
       i += gridDim.x * blockDim.x) {
    const std::size_t row = i / (ranks * row_bytes);
    const int rank = static_cast<int>(i / row_bytes % ranks);
    const std::size_t at = row * row_bytes + i % row_bytes;
    if (full[i] != static_cast<std::byte>(due(rounds->round, rank, at))) ++wrong;
  }
  if (wrong != 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(&rounds->wrong), wrong);
  }
}

}  // namespace

void begin_round(
    Rounds* rounds, std::byte* shard, std::size_t bytes, int rank, cudaStream_t stream) {
  count<<<1, 1, 0, stream>>>(rounds);
  fill<<<blocks, threads, 0, stream>>>(rounds, shard, bytes, rank);
}

void check_round(Rounds* rounds,
                 const std::byte* full,
                 int ranks,
                 std::size_t rows,
                 std::size_t row_bytes,
                 cudaStream_t stream) {
  check<<<blocks, threads, 0, stream>>>(rounds, full, ranks, rows, row_bytes);
}

}  // namespace muster::test

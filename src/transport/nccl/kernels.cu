#include "transport/nccl/kernels.h"

#include "transport/cuda/rows.cuh"

#include <algorithm>

namespace muster::transport::nccl {

namespace {

constexpr int threads = 512;
constexpr std::uint64_t bytes_a_thread = 64;  // four of the widest words
constexpr std::uint64_t most_blocks = 264;    // of one move: two on each multiprocessor

// A row of blocks for each move.
__global__ void __launch_bounds__(threads, 2) move_rows(const __grid_constant__ Moves moves) {
  const Move& move = moves.move[blockIdx.y];
  const cuda::Rows from{const_cast<std::byte*>(move.from), move.from_stride};
  const cuda::Rows to{move.to, move.to_stride};
  cuda::copy<cuda::Whose::peers>(&to,
                                 1,
                                 from,
                                 move.row_bytes,
                                 0,
                                 moves.rows * move.row_bytes,
                                 blockIdx.x * blockDim.x + threadIdx.x,
                                 gridDim.x * blockDim.x);
}

__global__ void add_one(std::uint64_t* word) {
  auto* const seen_by_host = const_cast<volatile std::uint64_t*>(word);
  *seen_by_host = *seen_by_host + 1;
}

}  // namespace

cudaError_t load_kernels() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, move_rows);
  return status != cudaSuccess ? status : cudaFuncGetAttributes(&attributes, add_one);
}

cudaError_t launch(const Moves& moves, cudaStream_t stream) {
  if (moves.count == 0 || moves.rows == 0) return cudaSuccess;
  std::uint64_t longest = 0;
  for (int i = 0; i < moves.count; ++i) longest = std::max(longest, moves.move[i].row_bytes);
  constexpr std::uint64_t bytes_a_block = threads * bytes_a_thread;
  const std::uint64_t blocks = (longest * moves.rows + bytes_a_block - 1) / bytes_a_block;
  const dim3 grid(static_cast<unsigned>(std::min(blocks, most_blocks)),
                  static_cast<unsigned>(moves.count));
  move_rows<<<grid, threads, 0, stream>>>(moves);
  return cudaGetLastError();
}

cudaError_t count(std::uint64_t* word, cudaStream_t stream) {
  add_one<<<1, 1, 0, stream>>>(word);
  return cudaGetLastError();
}

}  // namespace muster::transport::nccl

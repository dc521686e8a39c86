// What NCCL does not do: rows to their places, and telling the host how far the stream is.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace muster::transport::nccl {

inline constexpr int most_moves = 32;

// Rows of bytes from one place to another.
struct Move {
  const std::byte* from;
  std::uint64_t from_stride;
  std::byte* to;
  std::uint64_t to_stride;
  std::uint64_t row_bytes;
};

struct Moves {
  int count = 0;
  std::uint64_t rows = 0;  // of each
  Move move[most_moves];

  void add(const Move& another) {
    if (another.row_bytes > 0) move[count++] = another;
  }
};

// Host memory that the device has mapped: gathers that the stream has come to, and that have ended.
struct alignas(128) Progress {
  std::uint64_t begun;
  std::uint64_t ended;
};

// Brings the kernels to the current device, so that no gather has to.
cudaError_t load_kernels();

// Nothing where there is nothing to move.
cudaError_t launch(const Moves& moves, cudaStream_t stream);

// Adds one to a word of Progress. Gathers of a communicator never overlap, so nobody else does.
cudaError_t count(std::uint64_t* word, cudaStream_t stream);

}  // namespace muster::transport::nccl

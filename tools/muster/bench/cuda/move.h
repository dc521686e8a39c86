// Kernels that only move rows: what a gather could cost at best, and what its rivals need besides.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace muster::tool {

struct DeviceRows {
  std::byte* base = nullptr;
  std::size_t stride = 0;  // bytes
};

inline constexpr int most_places = 32;

// The rows of one section.
struct RowsToMove {
  DeviceRows from;
  DeviceRows to[most_places];
  int places = 0;
  std::size_t rows = 0;
  std::size_t row_bytes = 0;
};

// One kernel that reads each row once and writes it to all places. Rows, strides and bases must be
// multiples of 16 bytes (see can_move). At most `blocks` blocks of 512 threads.
void move_rows(const RowsToMove& move, int blocks, cudaStream_t stream);

// Members' sections that lie one behind the other in `from`, `section` bytes each, to their places
// in `to`, whose rows have `row_bytes` of each member.
void permute_rows(const std::byte* from,
                  std::byte* to,
                  int members,
                  std::size_t rows,
                  std::size_t row_bytes,
                  cudaStream_t stream);

// Can the two move such rows?
bool can_move(std::size_t row_bytes);

}  // namespace muster::tool

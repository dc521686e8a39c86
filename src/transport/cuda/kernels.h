// The kernels of a gather.
#pragma once

#include "transport/cuda/control.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>

namespace muster::transport::cuda {

// How a gather is run. All members choose the same, by what all know before they talk: the size of
// the output, and the communicator. Only `usual` is each member's own affair.
struct Grid {
  bool packed = false;  // sections travel as packets
  bool usual = false;   // by the kernel for the usual gather
  int blocks = 1;
  int threads = threads_a_block;
};

// `blocks_at_most` keeps the blocks of all members that share a GPU resident at once.
Grid choose_grid(std::size_t output_bytes, int members, int blocks_at_most);

// Is the gather, as far as this member can tell, of the usual kind: sections all alike, in rows of
// whole words? It has kernels of its own, which find out whether the others agree.
bool is_usual(const Arguments& arguments, const Grid& grid);

// The kernels of a communicator, for the context that was current when they were loaded.
class Kernels {
 public:
  // Brings them to the current device, so that no gather has to.
  cudaError_t load(int members);

  // Where the stream is captured, this adds to the graph.
  CUresult launch(const Arguments& arguments, const Grid& grid, CUstream stream) const;

 private:
  std::array<CUfunction, 4> by_kind_{};
};

}  // namespace muster::transport::cuda

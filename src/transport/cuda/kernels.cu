// One kernel a gather. Every member runs it with an equal grid; nothing else synchronises them.
//
// A member sends its header to every other, waits for all of theirs, checks them, and only then
// moves bytes. Short sections ride along with the headers.
#include "transport/cuda/kernels.h"

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/packets.cuh"
#include "transport/cuda/routes.cuh"

#include <algorithm>
#include <cstddef>

namespace muster::transport::cuda {

namespace {

// Is this the last block of the call to come here? Any time after the block's last look at the
// call's counters.
__device__ bool is_last_block(const Call& call) {
  if (gridDim.x == 1) return true;
  __shared__ bool last;
  // By another warp than the one that tells the peers, which takes as long.
  if (threadIdx.x == blockDim.x - 1) {
    last = atomicAdd(&call.own().left, 1) == gridDim.x - 1;
  }
  __syncthreads();
  return last;
}

// By one thread of the last block. The next kernel sees it.
__device__ void end_call(const Call& call) {
  call.own().left = 0;
  call.own().calls = call.number;
}

// Tells the peers that this block has moved its rows.
__device__ void tell_peers(const Call& call) {
  const Arguments& a = call.arguments;
  const int i = static_cast<int>(threadIdx.x);
  __syncthreads();  // the block has moved its rows
  if (i < a.size && i != a.self) count_up(call.theirs(i, a.layout.finished(a.self)));
}

// By the last block: waits until all blocks of all peers have moved their rows, to this member's
// output and out of its shard.
__device__ void wait_for_peers(const Call& call, const Terms& terms) {
  const Arguments& a = call.arguments;
  const int i = static_cast<int>(threadIdx.x);
  if (i >= a.size || i == a.self) return;
  const std::byte* finished = call.mine(a.layout.finished(i));
  const std::uint64_t due = call.own().row_blocks + gridDim.x;
  if (!wait(call, i, [&] { return flag(finished) >= due; })) return;
  // A sender may change its shard once it has given up on this call; then what was read is not what
  // was gathered.
  if (route(call, terms, i, a.self) == Route::pull && from_host(&a.mapped->failed) != 0) {
    give_up(call, Reason::elsewhere, 0);
  }
}

__device__ std::uint64_t begin_call(const Arguments& arguments) {
  Own& own = *reinterpret_cast<Own*>(arguments.members[arguments.self].control);
  const std::uint64_t number = *const_cast<volatile std::uint64_t*>(&own.calls) + 1;
  if (blockIdx.x == 0 && threadIdx.x == 0) own.started = number;
  return number;
}

// Has the communicator failed before?
__device__ bool begin_block(const Call& call) {
  if (threadIdx.x == 0) *call.stop = 0;
  return call.failed();
}

// A kernel's argument is no longer than its communicator needs: each launch brings it along.
template <int members>
struct alignas(Arguments) Shortened {
  std::byte bytes[offsetof(Arguments, members) + members * sizeof(Member)];

  __device__ const Arguments& arguments() const {
    return reinterpret_cast<const Arguments&>(*this);
  }
};

template <int members>
__global__ void __launch_bounds__(threads_a_block, 2)
    gather_packed(const __grid_constant__ Shortened<members> shortened) {
  __shared__ Terms terms;
  __shared__ std::uint32_t stop;
  const Arguments& arguments = shortened.arguments();
  const Share share = begin_share(arguments);
  const Call call{arguments, begin_call(arguments), &stop};
  const bool failed = begin_block(call);
  bool received = false;
  if (!failed) {
    if (blockIdx.x == 0) send_headers(call);
    send_packets(call, share);
    received = receive_headers(call, terms);
  }
  const Looks early = look(call, 1, share.first);
  if (agree(call, terms, received)) {
    keep_own(call, terms, share);
    receive_packets(call, terms, share, early);
  }
  if (is_last_block(call) && threadIdx.x == 0) end_call(call);
}

template <int members>
__global__ void __launch_bounds__(threads_a_block, 2)
    gather_rows(const __grid_constant__ Shortened<members> shortened) {
  __shared__ Terms terms;
  __shared__ Rows places[most_members + 1];
  __shared__ std::uint32_t stop;
  const Arguments& arguments = shortened.arguments();
  const Call call{arguments, begin_call(arguments), &stop};
  const bool failed = begin_block(call);
  if (!failed && blockIdx.x == 0) send_headers(call);
  bool well = agree(call, terms, !failed && receive_headers(call, terms));
  if (well) {
    push(call, terms, places);
    pull(call, terms);
    well = stage(call, terms);
  }
  if (well) tell_peers(call);
  if (is_last_block(call)) {
    if (well && !call.failed()) wait_for_peers(call, terms);
    __syncthreads();
    if (threadIdx.x != 0) return;
    call.own().row_blocks += gridDim.x;
    end_call(call);
  }
}

}  // namespace

Grid choose_grid(std::size_t output_bytes, int members, int blocks_at_most) {
  const std::size_t section = output_bytes / static_cast<std::size_t>(members);
  const auto blocks_for = [&](std::size_t bytes_a_block) {
    const std::size_t blocks = (section + bytes_a_block - 1) / bytes_a_block;
    return static_cast<int>(
        std::clamp<std::size_t>(blocks, 1, static_cast<std::size_t>(blocks_at_most)));
  };
  Grid grid;
  grid.packed = output_bytes <= Layout::packed_output(members);
  if (!grid.packed) {
    constexpr std::size_t bytes_a_thread = 16;
    grid.blocks = blocks_for(bytes_a_thread * threads_a_block);
    return grid;
  }
  grid.blocks = blocks_for(packet_payload * threads_a_block);
  const std::size_t packets = std::max<std::size_t>(
      section / packet_payload, static_cast<std::size_t>(packets_a_header * members));
  grid.threads = static_cast<int>(std::min<std::size_t>((packets + 31) / 32 * 32, threads_a_block));
  return grid;
}

namespace {

constexpr int few_members = 8;

const void* kernel(bool packed, int members) {
  if (members <= few_members) {
    return packed ? reinterpret_cast<const void*>(gather_packed<few_members>)
                  : reinterpret_cast<const void*>(gather_rows<few_members>);
  }
  return packed ? reinterpret_cast<const void*>(gather_packed<most_members>)
                : reinterpret_cast<const void*>(gather_rows<most_members>);
}

}  // namespace

cudaError_t load_kernels() {
  for (const bool packed : {false, true}) {
    for (const int members : {few_members, most_members}) {
      cudaFuncAttributes attributes{};
      const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel(packed, members));
      if (status != cudaSuccess) return status;
    }
  }
  return cudaSuccess;
}

cudaError_t launch(const Arguments& arguments, const Grid& grid, cudaStream_t stream) {
  void* parameters[] = {const_cast<Arguments*>(&arguments)};
  return cudaLaunchKernel(kernel(grid.packed, arguments.size),
                          dim3(static_cast<unsigned>(grid.blocks)),
                          dim3(static_cast<unsigned>(grid.threads)),
                          parameters,
                          0,
                          stream);
}

}  // namespace muster::transport::cuda

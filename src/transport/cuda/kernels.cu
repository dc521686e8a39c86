// One kernel a gather. Every member runs it with an equal grid; nothing else synchronises them.
//
// A member sends its header to every other, waits for all of theirs, checks them, and only then
// moves bytes. Short sections ride along with the headers.
#include "transport/cuda/kernels.h"

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/packets.cuh"
#include "transport/cuda/routes.cuh"

#include <algorithm>

namespace muster::transport::cuda {

namespace {

// Is this the last block of the call to come here? If it is to tell the peers, all that the blocks
// have written before is then visible to it, and to whom it tells.
template <bool tells>
__device__ bool is_last_block(const Call& call) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    if (tells) __threadfence_system();
    last = gridDim.x == 1 || atomicAdd(&call.own().left, 1) == gridDim.x - 1;
    if (tells && last) __threadfence_system();
  }
  __syncthreads();
  return last;
}

// By one thread of the last block. The next kernel sees it.
__device__ void end_call(const Call& call) {
  if (threadIdx.x != 0) return;
  call.own().left = 0;
  call.own().calls = call.number;
}

// By the last block: tells the peers what has been written and read, and waits for their word.
__device__ void exchange_flags(const Call& call, const Terms& terms) {
  const Arguments& a = call.arguments;
  const int i = static_cast<int>(threadIdx.x);
  if (i >= a.size || i == a.self) return;
  const Route out = route(call, terms, a.self, i);
  const Route in = route(call, terms, i, a.self);
  if (out == Route::push) set_flag(call.theirs(i, a.layout.pushed(a.self)), call.number);
  if (in == Route::pull) {
    // The sender may change its shard once it has given up on this call; then what was read is not
    // what was gathered.
    if (from_host(&a.mapped->failed) != 0) return give_up(call, Reason::elsewhere, 0);
    set_flag(call.theirs(i, a.layout.pulled(a.self)), call.number);
  }
  if (in == Route::push) {
    const std::byte* pushed = call.mine(a.layout.pushed(i));
    if (!wait(call, i, [&] { return flag(pushed) >= call.number; })) return;
  }
  if (out == Route::pull) {
    const std::byte* pulled = call.mine(a.layout.pulled(i));
    wait(call, i, [&] { return flag(pulled) >= call.number; });
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

__global__ void __launch_bounds__(threads_a_block, 2)
    gather_packed(const __grid_constant__ Arguments arguments) {
  __shared__ Terms terms;
  __shared__ std::uint32_t stop;
  const Call call{arguments, begin_call(arguments), &stop};
  const std::uint32_t first = blockIdx.x * blockDim.x + threadIdx.x;
  const std::uint32_t step = gridDim.x * blockDim.x;
  const bool failed = begin_block(call);
  if (!failed) {
    if (blockIdx.x == 0) send_headers(call);
    send_packets(call, first, step);
  }
  if (!__syncthreads_or(failed) && agree(call, terms)) {
    keep_own(call, terms, first, step);
    receive_packets(call, terms, first, step);
  }
  if (is_last_block<false>(call)) end_call(call);
}

__global__ void __launch_bounds__(threads_a_block, 2)
    gather_rows(const __grid_constant__ Arguments arguments) {
  __shared__ Terms terms;
  __shared__ Rows places[most_members + 1];
  __shared__ std::uint32_t stop;
  const Call call{arguments, begin_call(arguments), &stop};
  const bool failed = begin_block(call);
  if (!failed && blockIdx.x == 0) send_headers(call);
  bool well = !__syncthreads_or(failed) && agree(call, terms);
  if (well) {
    __threadfence_system();
    push(call, terms, places);
    pull(call, terms);
    well = stage(call, terms);
  }
  if (is_last_block<true>(call)) {
    if (well && !call.failed()) exchange_flags(call, terms);
    __syncthreads();
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
    constexpr std::size_t bytes_a_thread = 64;
    grid.blocks = blocks_for(bytes_a_thread * threads_a_block);
    return grid;
  }
  grid.blocks = blocks_for(packet_payload * threads_a_block);
  const std::size_t packets = std::max<std::size_t>(
      section / packet_payload, static_cast<std::size_t>(packets_a_header * members));
  grid.threads = static_cast<int>(std::min<std::size_t>((packets + 31) / 32 * 32, threads_a_block));
  return grid;
}

cudaError_t load_kernels() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, gather_packed);
  return status != cudaSuccess ? status : cudaFuncGetAttributes(&attributes, gather_rows);
}

cudaError_t launch(const Arguments& arguments, const Grid& grid, cudaStream_t stream) {
  if (grid.packed) {
    gather_packed<<<grid.blocks, grid.threads, 0, stream>>>(arguments);
  } else {
    gather_rows<<<grid.blocks, grid.threads, 0, stream>>>(arguments);
  }
  return cudaGetLastError();
}

}  // namespace muster::transport::cuda

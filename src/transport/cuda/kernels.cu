// One kernel a gather. All members run one of these with equal grids; nothing else synchronises
// them.
//
// A member sends its header to every other, waits for all of theirs, checks them, and only then
// moves bytes. Short sections ride along with the headers.
//
// What the kernel for the usual gather and the general one send is the same: members may differ in
// which of the two they run.
#include "transport/cuda/kernels.h"

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/packets.cuh"
#include "transport/cuda/routes.cuh"
#include "transport/cuda/usual_packets.cuh"
#include "transport/cuda/usual_rows.cuh"
#include "world/cuda/driver.h"

#include <algorithm>
#include <cstddef>

namespace muster::transport::cuda {

namespace {

// What a block reads before all else, in one trip.
struct Beginning {
  std::uint64_t ended;  // calls
  bool failed;          // the same for a warp

  __device__ explicit Beginning(const Own& own)
      : ended(*const_cast<const volatile std::uint64_t*>(&own.calls[blockIdx.x])),
        failed(__any_sync(~0U, *const_cast<const volatile std::uint32_t*>(&own.failed)) != 0) {}
};

__device__ void begin_call(const Call& call) {
  if (blockIdx.x == 0 && threadIdx.x == 0) call.own().started = call.number;
}

// By the block, when its threads have received their packets, and behind a barrier that they have
// all come to after they began. The next kernel sees it.
__device__ void end_call(const Call& call) {
  for (unsigned i = blockIdx.x + threadIdx.x * gridDim.x; i < most_blocks;
       i += blockDim.x * gridDim.x) {
    call.own().calls[i] = call.number;
  }
  if (renews_packets(call.number)) renew_packets(call);
}

// Tells all members, this one too, that this block has moved its rows.
__device__ void tell_members(const Call& call) {
  const Arguments& a = call.arguments;
  const int i = static_cast<int>(threadIdx.x);
  __syncthreads();  // the block has moved its rows
  if (i < a.size) count_up(call.theirs(i, a.layout.finished(a.self)), a.one_gpu);
}

// Waits until all blocks of all members have moved their rows, to this member's output and out of
// its shard. A thread waits for a member.
__device__ void wait_for_members(const Call& call, std::uint64_t row_blocks) {
  const Arguments& a = call.arguments;
  const int i = static_cast<int>(threadIdx.x);
  if (i >= a.size) return;
  const std::byte* finished = call.mine(a.layout.finished(i));
  if (i == a.self) {  // its blocks give up by themselves, and know better who is to blame
    while (flag(finished) < row_blocks && !call.failed()) {
    }
    return;
  }
  wait(call, i, [&] { return flag(finished) >= row_blocks; });
}

// By one block, the last thing that it does with rows. `row_blocks`: those that have moved rows
// when this call has ended.
__device__ void end_rows(const Call& call, const Moved& moved, std::uint64_t row_blocks) {
  if (moved.well) wait_for_members(call, row_blocks);
  __syncthreads();
  if (threadIdx.x != 0) return;
  // A sender may change its shard once it has given up on this call, by its host's or its kernel's
  // decision; then what was pulled is not what was gathered.
  if (moved.pulled && (from_host(&call.arguments.mapped->failed) != 0 || peer_gave_up(call))) {
    give_up(call, Reason::elsewhere, 0);
  }
  call.own().row_blocks = row_blocks;
  call.own().tickets = 0;
}

// A kernel's argument is no longer than its communicator needs: each launch brings it along.
template <int members>
struct alignas(Arguments) Shortened {
  std::byte bytes[offsetof(Arguments, members) + members * sizeof(Member)];

  __device__ const Arguments& arguments() const {
    return reinterpret_cast<const Arguments&>(*this);
  }
};

template <int most>
__global__ void __launch_bounds__(threads_a_block, 2)
    gather_usual_packets(const __grid_constant__ Shortened<most> shortened) {
  const Arguments& a = shortened.arguments();
  const Beginning beginning(own_of(a));
  const Slice slice(a);
  const std::uint64_t payload = slice.any ? __ldg(reinterpret_cast<const unsigned long long*>(
                                                a.shard + slice.in(a, a.shard_stride)))
                                          : 0;
  const Call call{a, beginning.ended + 1};
  begin_call(call);
  bool usual = false;
  std::uint64_t theirs[most - 1];
  if (!beginning.failed) {
    if (slice.any) send_packet<most>(call, slice, payload);
    if (blockIdx.x == 0) send_headers(call);
    usual = see_all<most>(call, slice, theirs);
  }
  if (__syncthreads_or(!usual) != 0) {
    unpack_as_agreed(call, beginning.failed);
  } else {
    unpack<most>(call, slice, payload, theirs);
  }
  end_call(call);
}

template <int members>
__global__ void __launch_bounds__(threads_a_block, 2)
    gather_packets(const __grid_constant__ Shortened<members> shortened) {
  const Arguments& a = shortened.arguments();
  const Beginning beginning(own_of(a));
  const Call call{a, beginning.ended + 1};
  begin_call(call);
  if (!beginning.failed) {
    const Run own = own_run(a);
    if (blockIdx.x == 0) send_headers(call);
    send_packets(call, own, begin_share(own));
  }
  unpack_as_agreed(call, beginning.failed);
  end_call(call);
}

template <int members>
__global__ void __launch_bounds__(threads_a_block, 2)
    gather_usual_rows(const __grid_constant__ Shortened<members> shortened) {
  __shared__ Terms terms;
  __shared__ Places places;
  const Arguments& a = shortened.arguments();
  Push push(a);  // reads ahead
  const Beginning beginning(own_of(a));
  const Call call{a, beginning.ended + 1};
  const std::uint64_t row_blocks = call.own().row_blocks + gridDim.x;
  begin_call(call);
  if (!beginning.failed && blockIdx.x == 0) send_headers(call);
  const Seen seen = see_headers(call, beginning.failed, terms, places);
  Moved moved{seen == Seen::usual, false};
  if (seen == Seen::usual) push.to(call, places);
  if (seen == Seen::other) moved = move_rows_after_all(call);
  if (moved.well) tell_members(call);
  if (blockIdx.x == 0) end_rows(call, moved, row_blocks);
  end_call(call);
}

template <int members>
__global__ void __launch_bounds__(threads_a_block, 2)
    gather_rows(const __grid_constant__ Shortened<members> shortened) {
  const Arguments& a = shortened.arguments();
  const Beginning beginning(own_of(a));
  const Call call{a, beginning.ended + 1};
  const std::uint64_t row_blocks = call.own().row_blocks + gridDim.x;
  begin_call(call);
  if (!beginning.failed && blockIdx.x == 0) send_headers(call);
  const Moved moved = move_rows(call, beginning.failed);
  if (moved.well) tell_members(call);
  if (blockIdx.x == 0) end_rows(call, moved, row_blocks);
  end_call(call);
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

// Where Kernels keeps it.
std::size_t kind_of(const Grid& grid) {
  return std::size_t{grid.packed} * 2 + std::size_t{grid.usual};
}

const void* function_of(const Grid& grid, int members) {
  struct Function {
    const void* address;
    int members;  // at most
  };
  const auto address = [](auto* function) { return reinterpret_cast<const void*>(function); };
  static const Function all[][4] = {
      {{address(gather_rows<8>), 8}, {address(gather_rows<most_members>), most_members}},
      {{address(gather_usual_rows<8>), 8},
       {address(gather_usual_rows<most_members>), most_members}},
      {{address(gather_packets<8>), 8}, {address(gather_packets<most_members>), most_members}},
      {{address(gather_usual_packets<2>), 2},
       {address(gather_usual_packets<4>), 4},
       {address(gather_usual_packets<8>), 8},
       {address(gather_packets<most_members>), most_members}}};
  const Function* function = all[kind_of(grid)];
  while (function->members < members) ++function;
  return function->address;
}

}  // namespace

bool is_usual(const Arguments& a, const Grid& grid) {
  const Header& header = a.header;
  const auto size = static_cast<std::uint64_t>(a.size);
  const std::uint64_t in_place = static_cast<std::uint64_t>(a.self) * header.row_bytes;
  const bool is_alike = header.row_bytes > 0 && header.output_row_bytes % size == 0 &&
                        header.output_row_bytes / size == header.row_bytes &&
                        (header.in_place_offset == Gather::not_in_place ||
                         static_cast<std::uint64_t>(header.in_place_offset) == in_place);
  const std::uint64_t places = reinterpret_cast<std::uint64_t>(a.shard) |
                               reinterpret_cast<std::uint64_t>(a.output) | a.shard_stride |
                               a.output_stride | header.row_bytes;
  const std::uint64_t bytes = a.outer * header.row_bytes;
  if (grid.packed) {  // a packet a thread
    const auto threads =
        static_cast<std::uint64_t>(grid.blocks) * static_cast<std::uint64_t>(grid.threads);
    return is_alike && places % packet_payload == 0 && bytes <= packet_payload * threads;
  }
  return is_alike && header.output_offset != private_memory && places % sizeof(uint4) == 0 &&
         bytes <= most_pushed_words * sizeof(uint4);
}

cudaError_t Kernels::load(int members) {
  for (const bool packed : {false, true}) {
    for (const bool usual : {false, true}) {
      const Grid grid{.packed = packed, .usual = usual};
      const void* const function = function_of(grid, members);
      cudaFuncAttributes attributes{};  // to ask for them loads the kernel
      cudaError_t status = cudaFuncGetAttributes(&attributes, function);
      if (status != cudaSuccess) return status;
      status = cudaGetFuncBySymbol(&by_kind_[kind_of(grid)], function);
      if (status != cudaSuccess) return status;
    }
  }
  return cudaSuccess;
}

CUresult Kernels::launch(const Arguments& arguments, const Grid& grid, CUstream stream) const {
  void* parameters[] = {const_cast<Arguments*>(&arguments)};
  return world::cuda::driver().launch_kernel(by_kind_[kind_of(grid)],
                                             static_cast<unsigned>(grid.blocks),
                                             1,
                                             1,
                                             static_cast<unsigned>(grid.threads),
                                             1,
                                             1,
                                             0,
                                             stream,
                                             parameters,
                                             nullptr);
}

}  // namespace muster::transport::cuda

// Longer sections: rows are pushed to where the receiver's output can be reached, pulled from where
// the sender's shard can be reached, or staged.
#pragma once

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/rows.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

enum class Route { nothing, push, pull, staged };

// Both sides of a pair find the same.
inline __device__ Route route(const Call& call, const Terms& terms, int sender, int receiver) {
  if (sender == receiver || call.arguments.outer * terms.header(sender).row_bytes == 0) {
    return Route::nothing;
  }
  if (terms.header(receiver).output_offset != private_memory) return Route::push;
  if (terms.header(sender).shard_offset != private_memory) return Route::pull;
  return Route::staged;
}

// This member's section to all outputs that it writes: a word is read once.
inline __device__ void push(const Call& call, const Terms& terms, Rows* places) {
  const Arguments& a = call.arguments;
  int count = 0;
  for (int k = 1; k < a.size; ++k) {
    const int to = call.peer(k);
    if (route(call, terms, a.self, to) != Route::push) continue;
    const Header& header = terms.header(to);
    if (threadIdx.x == 0) {
      places[count] = {a.members[to].arena + header.output_offset + terms.row_offset[a.self],
                       header.output_stride};
    }
    ++count;
  }
  if (a.header.in_place_offset == Gather::not_in_place) {
    if (threadIdx.x == 0) places[count] = own_output(call, terms, a.self);
    ++count;
  }
  __syncthreads();
  if (count == 0) return;
  copy<Whose::own>(places,
                   count,
                   own_shard(a),
                   a.header.row_bytes,
                   0,
                   a.outer * a.header.row_bytes,
                   blockIdx.x * blockDim.x + threadIdx.x,
                   gridDim.x * blockDim.x);
}

// Was there anything to pull?
inline __device__ bool pull(const Call& call, const Terms& terms) {
  const Arguments& a = call.arguments;
  bool any = false;
  for (int k = 1; k < a.size; ++k) {
    const int from = call.peer(k);
    if (route(call, terms, from, a.self) != Route::pull) continue;
    any = true;
    __threadfence_system();  // behind the header
    const Header& header = terms.header(from);
    const Rows shard{a.members[from].arena + header.shard_offset, header.shard_stride};
    const Rows to = own_output(call, terms, from);
    copy<Whose::peers>(&to,
                       1,
                       shard,
                       header.row_bytes,
                       0,
                       a.outer * header.row_bytes,
                       blockIdx.x * blockDim.x + threadIdx.x,
                       gridDim.x * blockDim.x);
  }
  return any;
}

// A block's pieces of a staged section are every gridDim.x-th: this one's piece `turn`.
inline __device__ std::uint64_t piece_begin(std::uint64_t turn) {
  return (turn * gridDim.x + blockIdx.x) * piece_bytes;
}

// Grows for 2^40 calls, with up to 2^24 pieces of a block in each.
inline __device__ std::uint64_t staged_flag(const Call& call, std::uint64_t pieces) {
  return call.number << 24 | pieces;
}

// Packed bytes as rows whose first byte is byte `begin` of the section.
inline __device__ Rows packed(std::byte* piece, std::uint64_t begin, std::uint64_t row_bytes) {
  return {piece - begin, row_bytes};
}

// Puts this block's next piece where the peers can read it, once all have taken the one that lay
// there.
inline __device__ bool publish_piece(const Call& call, const Terms& terms, std::uint64_t turn) {
  const Arguments& a = call.arguments;
  const int block = static_cast<int>(blockIdx.x);
  const std::uint64_t bytes = a.outer * a.header.row_bytes;
  const int i = static_cast<int>(threadIdx.x);
  const bool receives = i < a.size && route(call, terms, a.self, i) == Route::staged;
  bool is_free = true;
  if (receives && turn >= ring_pieces) {
    const std::byte* taken = call.mine(a.layout.taken(i, block));
    const std::uint64_t due = staged_flag(call, turn - ring_pieces + 1);
    is_free = wait(call, i, [&] { return flag(taken) >= due; });
  }
  if (__syncthreads_or(!is_free) != 0) return false;
  const std::uint64_t begin = piece_begin(turn);
  const Rows to = packed(call.mine(a.layout.piece(block, turn)), begin, a.header.row_bytes);
  copy<Whose::own>(&to,
                   1,
                   own_shard(a),
                   a.header.row_bytes,
                   begin,
                   min(begin + piece_bytes, bytes),
                   threadIdx.x,
                   blockDim.x);
  __syncthreads();
  if (receives) {
    set_flag(call.theirs(i, a.layout.published(a.self, block)), staged_flag(call, turn + 1));
  }
  return true;
}

inline __device__ bool take_piece(const Call& call,
                                  const Terms& terms,
                                  int from,
                                  std::uint64_t turn) {
  const Arguments& a = call.arguments;
  const int block = static_cast<int>(blockIdx.x);
  const Header& header = terms.header(from);
  const std::uint64_t due = staged_flag(call, turn + 1);
  bool is_here = true;
  if (threadIdx.x == 0) {
    const std::byte* published = call.mine(a.layout.published(from, block));
    is_here = wait(call, from, [&] { return flag(published) >= due; });
  }
  if (__syncthreads_or(!is_here) != 0) return false;
  const std::uint64_t begin = piece_begin(turn);
  const Rows piece =
      packed(call.theirs(from, a.layout.piece(block, turn)), begin, header.row_bytes);
  const Rows to = own_output(call, terms, from);
  copy<Whose::peers>(&to,
                     1,
                     piece,
                     header.row_bytes,
                     begin,
                     min(begin + piece_bytes, a.outer * header.row_bytes),
                     threadIdx.x,
                     blockDim.x);
  __syncthreads();
  if (threadIdx.x == 0) {
    set_flag(call.theirs(from, a.layout.taken(a.self, block)), due);
  }
  return true;
}

// All members go through the turns in step, and are a piece ahead in what they publish: who waits
// in turn t needs what others do before they wait in turn t, so somebody can always go on.
inline __device__ bool stage(const Call& call, const Terms& terms) {
  const Arguments& a = call.arguments;
  bool stages_out = false;
  bool any = false;
  for (int i = 0; i < a.size; ++i) {
    stages_out |= route(call, terms, a.self, i) == Route::staged;
    any |= route(call, terms, i, a.self) == Route::staged;
  }
  if (!stages_out && !any) return true;
  const auto publish = [&](std::uint64_t turn) {
    const bool due = stages_out && piece_begin(turn) < a.outer * a.header.row_bytes;
    return !due || publish_piece(call, terms, turn);
  };
  if (!publish(0)) return false;
  for (std::uint64_t turn = 0;; ++turn) {
    const std::uint64_t begin = piece_begin(turn);
    bool more = stages_out && piece_begin(turn + 1) < a.outer * a.header.row_bytes;
    if (!publish(turn + 1)) return false;
    for (int k = 1; k < a.size; ++k) {
      const int from = call.peer(k);
      if (route(call, terms, from, a.self) != Route::staged) continue;
      if (begin >= a.outer * terms.header(from).row_bytes) continue;
      more = true;
      if (!take_piece(call, terms, from, turn)) return false;
    }
    if (!more) return true;
  }
}

// What a block has done with its rows.
struct Moved {
  bool well;  // or the call is given up
  bool pulled;
};

// Whatever the headers say. By the block.
inline __device__ Moved move_rows(const Call& call, bool failed) {
  __shared__ Terms terms;
  __shared__ Rows places[most_members + 1];
  if (!agree(call, terms, !failed && receive_headers(call, terms))) return {false, false};
  push(call, terms, places);
  const bool pulled = pull(call, terms);
  return {stage(call, terms), pulled};
}

// For a kernel that rarely needs it.
static __device__ __noinline__ Moved move_rows_after_all(const Call call) {
  return move_rows(call, false);
}

}  // namespace muster::transport::cuda

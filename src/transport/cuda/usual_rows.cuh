// The usual gather of longer sections: all are alike, of whole 16-byte words, and pushed.
#pragma once

#include "transport/cuda/agreement.cuh"
#include "transport/cuda/rows.cuh"

#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

// Words are counted in 32 bits, with room for a step beyond the end.
inline constexpr std::uint64_t most_pushed_words = std::uint64_t{1} << 31;

// Where this member's section goes: its peers from the next position on, then itself.
struct Places {
  Rows to[most_members];
};

inline __device__ int place_of(const Arguments& a, int i) {
  return i > a.self ? i - a.self - 1 : i - a.self - 1 + a.size;
}

// Fills in where member i has this member's section, if that can be pushed there in whole words.
inline __device__ bool find_place(const Call& call, const Terms& terms, int i, Places& places) {
  const Arguments& a = call.arguments;
  const std::uint64_t row_bytes = a.header.row_bytes;
  const std::uint64_t offset = static_cast<std::uint32_t>(a.self) * row_bytes;
  Rows& to = places.to[place_of(a, i)];
  if (i == a.self) {
    to = {a.output + offset, a.output_stride};
    return true;
  }
  const Header& theirs = terms.header(i);
  to = {a.members[i].arena + theirs.output_offset + offset, theirs.output_stride};
  return theirs.output_offset != private_memory &&
         fits(theirs.output_offset,
              theirs.output_stride,
              theirs.output_row_bytes,
              a.outer,
              a.members[i].arena_bytes) &&
         alignment(to, row_bytes, sizeof(uint4)) == sizeof(uint4);
}

// What a block has seen of the headers.
enum class Seen { usual, other, not_all };

// Waits for what it needs of the headers. Returns the same for all threads of the block; not_all
// where this member gives up. Then the block is not to go on as if it were `other`: headers may
// come after all, and there rows are dealt out to blocks in another way.
inline __device__ Seen see_headers(const Call& call, bool failed, Terms& terms, Places& places) {
  static_assert(most_members * packets_a_header <= threads_a_block);
  const Arguments& a = call.arguments;
  bool here = !failed;
  bool alike = true;
  const int t = static_cast<int>(threadIdx.x);
  const int from = t / packets_a_header;
  const int word = t % packets_a_header;
  if (here && from < a.size && from != a.self && word < pushed_words) {
    const std::byte* packet = call.mine(a.layout.header(from, call.number)) + word * sizeof(Packet);
    std::uint64_t payload = 0;
    here = wait(call, from, [&] { return get(packet, call.flag32(), payload); });
    alike = is_alike(a, from, word, payload);
    terms.headers[from][word] = payload;
  }
  if (__syncthreads_or(!here) != 0) return Seen::not_all;
  const bool found = alike && (t >= a.size || find_place(call, terms, t, places));
  return __syncthreads_or(!found) == 0 ? Seen::usual : Seen::other;
}

// A place in rows of words.
struct Cursor {
  std::uint32_t row;
  std::uint32_t column;

  __device__ Cursor(std::uint32_t word, std::uint32_t row_words)
      : row(word / row_words), column(word - row * row_words) {}
  __device__ void advance(const Cursor& step, std::uint32_t row_words) {
    row += step.row;
    column += step.column;
    if (column >= row_words) {
      column -= row_words;
      ++row;
    }
  }
  __device__ uint4* in(const Rows& rows) const {
    return reinterpret_cast<uint4*>(rows.base + row * rows.stride) + column;
  }
};

// What a warp moves at once: a run of a section's words, those of a lane as far apart as the warp
// is wide. More at once were not faster, and are waited for longer at the end.
class Batch {
 public:
  static constexpr std::uint32_t lanes = 32;
  static constexpr int words_a_lane = 4;
  static constexpr std::uint32_t words = lanes * words_a_lane;

  __device__ explicit Batch(const Arguments& a)
      : row_words_(static_cast<std::uint32_t>(a.header.row_bytes / sizeof(uint4))),
        end_(static_cast<std::uint32_t>(a.outer) * row_words_),
        apart_(lanes, row_words_),
        first_(0, row_words_) {}

  // Of the section.
  __device__ std::uint32_t count() const { return (end_ + words - 1) / words; }

  __device__ void load(const Rows& from, std::uint32_t number) {
    const std::uint32_t first = number * words + threadIdx.x % lanes;
    left_ = first < end_ ? end_ - first : 0;
    first_ = Cursor(first, row_words_);
    for_each([&](int i, const Cursor& at) { word_[i] = __ldg(at.in(from)); });
  }
  __device__ void store(const Rows& to) const {
    for_each([&](int i, const Cursor& at) { *at.in(to) = word_[i]; });
  }

 private:
  template <typename Function>
  __device__ void for_each(Function function) const {
    Cursor at = first_;
#pragma unroll
    for (int i = 0; i < words_a_lane; ++i) {
      if (i * lanes < left_) function(i, at);
      at.advance(apart_, row_words_);
    }
  }

  std::uint32_t row_words_;
  std::uint32_t end_;
  Cursor apart_;  // of a lane's words
  Cursor first_;
  std::uint32_t left_ = 0;  // words of the section from this lane's first one on
  uint4 word_[words_a_lane];
};

// Which of a section's batches a warp moves. The first one is its own for sure. Of a short section
// the others are dealt out in turn; of a long one by tickets: what is asked for then is answered
// while a batch is moved.
class Turns {
 public:
  __device__ Turns(std::uint32_t batches, std::uint32_t run)
      : batches_(batches),
        deal_{gridDim.x * (blockDim.x / Batch::lanes), run, 0},
        batch_(threadIdx.x / Batch::lanes * gridDim.x + blockIdx.x) {}

  __device__ std::uint32_t batch() const { return batch_; }
  __device__ bool is_over() const { return batch_ >= batches_; }

  __device__ void begin(Own& own) {
    if (!is_long()) return;
    deal_ = Deal::of(batches_, deal_.warps, deal_.run);
    ticket_ = draw(own);
  }
  __device__ void next(Own& own) {
    if (!is_long()) {
      batch_ += deal_.warps;
    } else if (left_ > 0) {
      ++batch_;
      --left_;
    } else {
      const std::uint32_t ticket = __shfl_sync(~0U, ticket_, 0);
      batch_ = deal_.first(ticket);
      left_ = deal_.count(ticket) - 1;
      ticket_ = draw(own);
    }
  }

 private:
  __device__ bool is_long() const { return batches_ > Deal::least_batches(deal_.warps); }
  __device__ static std::uint32_t draw(Own& own) {
    return threadIdx.x % Batch::lanes == 0 ? atomicAdd(&own.tickets, 1) : 0;
  }

  std::uint32_t batches_;
  Deal deal_;  // of a long section, from begin() on
  std::uint32_t batch_;
  std::uint32_t left_ = 0;    // of this warp's run, behind this batch
  std::uint32_t ticket_ = 0;  // by the first lane: the next one
};

// This member's section, to where it belongs. The first batch is read while the headers are under
// way.
class Push {
 public:
  __device__ explicit Push(const Arguments& a) : batch_(a), turns_(batch_.count(), a.run) {
    batch_.load(own_shard(a), turns_.batch());
  }

  __device__ void to(const Call& call, const Places& places) {
    const Arguments& a = call.arguments;
    const int count = a.header.in_place_offset == Gather::not_in_place ? a.size : a.size - 1;
    turns_.begin(call.own());
    while (!turns_.is_over()) {
#pragma unroll 1
      for (int p = 0; p < count; ++p) batch_.store(places.to[p]);
      turns_.next(call.own());
      batch_.load(own_shard(a), turns_.batch());
    }
  }

 private:
  Batch batch_;
  Turns turns_;
};

}  // namespace muster::transport::cuda

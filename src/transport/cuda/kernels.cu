// One kernel a gather. Every member runs it with an equal grid; nothing else synchronises them.
//
// A member sends its header to every other, waits for all of theirs, checks them, and only then
// moves bytes. Short sections ride along with the header as packets (LL: data and flag in one word,
// after NCCL's protocol of that name); else rows are pushed to where the receiver's output can be
// reached, pulled from where the sender's shard can be reached, or staged.
#include "transport/cuda/kernels.h"

#include <algorithm>

namespace muster::transport::cuda {

namespace {

// ---- Words between devices
// -----------------------------------------------------------------------

__device__ void put(std::byte* packet, std::uint64_t payload, std::uint32_t flag) {
  const std::uint64_t low = std::uint64_t{flag} << 32 | (payload & 0xffffffff);
  const std::uint64_t high = std::uint64_t{flag} << 32 | payload >> 32;
  asm volatile("st.relaxed.sys.global.v2.b64 [%0], {%1, %2};" ::"l"(packet), "l"(low), "l"(high)
               : "memory");
}

__device__ bool get(const std::byte* packet, std::uint32_t flag, std::uint64_t& payload) {
  std::uint64_t low, high;
  asm volatile("ld.relaxed.sys.global.v2.b64 {%0, %1}, [%2];"
               : "=l"(low), "=l"(high)
               : "l"(packet)
               : "memory");
  payload = (low & 0xffffffff) | high << 32;
  return low >> 32 == flag && high >> 32 == flag;
}

__device__ void set_flag(std::byte* word, std::uint64_t value) {
  asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

__device__ std::uint64_t flag(const std::byte* word) {
  std::uint64_t value;
  asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
  return value;
}

__device__ std::uint32_t from_host(const std::uint32_t* word) {
  std::uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}

__device__ std::uint64_t nanoseconds() {
  std::uint64_t value;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(value));
  return value;
}

// ---- One call
// ------------------------------------------------------------------------------------

// What a block knows of the call.
struct Call {
  const Arguments& arguments;
  const std::uint64_t number;
  std::uint32_t* stop;  // shared by the block: 1 when it gives up

  __device__ Own& own() const {
    return *reinterpret_cast<Own*>(arguments.members[arguments.self].control);
  }
  __device__ std::uint32_t flag32() const { return static_cast<std::uint32_t>(number); }
  __device__ std::byte* mine(std::size_t offset) const {
    return arguments.members[arguments.self].control + offset;
  }
  __device__ std::byte* theirs(int i, std::size_t offset) const {
    return arguments.members[i].control + offset;
  }
  __device__ bool failed() const {
    return *const_cast<volatile std::uint32_t*>(&own().failed) != 0;
  }
  // The other members from the next position on, so that not all turn to the same one: k from 1.
  __device__ int peer(int k) const {
    const int i = arguments.self + k;
    return i < arguments.size ? i : i - arguments.size;
  }
};

__device__ bool header_is_here(const Call& call, int from) {
  const std::byte* packets = call.mine(call.arguments.layout.header(from, call.number));
  std::uint64_t unused;
  for (int word = 0; word < header_words; ++word) {
    if (!get(packets + word * sizeof(Packet), call.flag32(), unused)) return false;
  }
  return true;
}

// Fails the communicator on this device and tells the host, unless somebody has already.
__device__ void give_up(const Call& call, Reason reason, std::uint32_t members) {
  *call.stop = 1;
  if (atomicExch(&call.own().claimed, 1) != 0) return;
  Mapped& report = *call.arguments.mapped;
  if (reason == Reason::timeout) {
    // Who has not even come is to blame, not who waits for it too.
    std::uint32_t missing = 0;
    for (int i = 0; i < call.arguments.size; ++i) {
      if (i != call.arguments.self && !header_is_here(call, i)) missing |= 1U << i;
    }
    if (missing != 0) members = missing;
  }
  report.call = call.number;
  report.members = members;
  __threadfence_system();
  *const_cast<volatile std::uint32_t*>(&report.reason) = static_cast<std::uint32_t>(reason);
  __threadfence();
  *const_cast<volatile std::uint32_t*>(&call.own().failed) = 1;
}

// Why to wait for a member no longer, if so.
__device__ Reason look_around(const Call& call, int member, std::uint64_t& began) {
  const Mapped& mapped = *call.arguments.mapped;
  if (from_host(&mapped.failed) != 0) return Reason::elsewhere;
  if ((from_host(&mapped.ended) >> member & 1) != 0) return Reason::lost;
  const std::uint64_t now = nanoseconds();
  if (began == 0) began = now;
  return now - began > call.arguments.timeout_ns ? Reason::timeout : Reason::none;
}

// Looks at the data, then at failure, then at the data again: a member that delivered and then left
// is no error. False when the call is given up.
template <typename Ready>
__device__ bool wait(const Call& call, int member, Ready ready) {
  constexpr std::uint32_t spins_a_look = 64;  // at the host's memory, which is far away
  std::uint64_t began = 0;
  for (std::uint32_t spin = 1; !ready(); ++spin) {
    if (spin % 8 == 0 && call.failed()) {
      if (ready()) return true;
      *call.stop = 1;
      return false;
    }
    if (spin % spins_a_look != 0) continue;
    const Reason reason = look_around(call, member, began);
    if (reason == Reason::none) continue;
    if (ready()) return true;
    give_up(call, reason, 1U << member);
    return false;
  }
  return true;
}

// ---- Agreement
// -----------------------------------------------------------------------------------

// What the members agree on, in the block's shared memory.
struct Terms {
  std::uint64_t headers[most_members][header_words];
  std::uint64_t row_offset[most_members];

  __device__ const Header& header(int i) const {
    return *reinterpret_cast<const Header*>(headers[i]);
  }
};

__device__ std::uint64_t word_of(const Header& header, int word) {
  return reinterpret_cast<const std::uint64_t*>(&header)[word];
}

// By one block.
__device__ void send_headers(const Call& call) {
  const Arguments& a = call.arguments;
  for (int t = threadIdx.x; t < a.size * packets_a_header; t += blockDim.x) {
    const int to = t / packets_a_header;
    const int word = t % packets_a_header;
    if (to == a.self || word >= header_words) continue;
    put(call.theirs(to, a.layout.header(a.self, call.number)) + word * sizeof(Packet),
        word_of(a.header, word),
        call.flag32());
  }
}

__device__ void receive_headers(const Call& call, Terms& terms) {
  const Arguments& a = call.arguments;
  for (int t = threadIdx.x; t < a.size * packets_a_header; t += blockDim.x) {
    const int from = t / packets_a_header;
    const int word = t % packets_a_header;
    if (word >= header_words) continue;
    std::uint64_t payload = word_of(a.header, word);
    if (from != a.self) {
      const std::byte* packet =
          call.mine(a.layout.header(from, call.number)) + word * sizeof(Packet);
      if (!wait(call, from, [&] { return get(packet, call.flag32(), payload); })) return;
    }
    terms.headers[from][word] = payload;
  }
}

__device__ bool fits(std::uint64_t offset,
                     std::uint64_t stride,
                     std::uint64_t row_bytes,
                     std::uint64_t outer,
                     std::uint64_t arena_bytes) {
  if (offset == private_memory || outer == 0 || row_bytes == 0) return true;
  if (offset > arena_bytes || row_bytes > arena_bytes) return false;
  if (outer > 1 && stride > arena_bytes / (outer - 1)) return false;
  return offset + (outer - 1) * stride <= arena_bytes - row_bytes;
}

// Does member i's header go with this member's? Fills in its row offset. As shm::check_terms(),
// which puts what this finds into words.
__device__ bool agrees(const Call& call, Terms& terms, int i) {
  const Arguments& a = call.arguments;
  const Header& mine = a.header;
  const Header& theirs = terms.header(i);
  std::uint64_t offset = 0;
  std::uint64_t sum = 0;
  for (int j = 0; j < a.size; ++j) {
    if (j == i) offset = sum;
    sum += terms.header(j).row_bytes;
    if (terms.header(j).row_bytes > mine.output_row_bytes || sum > mine.output_row_bytes) {
      return false;
    }
  }
  terms.row_offset[i] = offset;
  const std::uint64_t arena = a.members[i].arena_bytes;
  return word_of(mine, 0) == word_of(theirs, 0) && mine.shape_hash == theirs.shape_hash &&
         sum == theirs.output_row_bytes &&
         (theirs.in_place_offset == Gather::not_in_place ||
          static_cast<std::uint64_t>(theirs.in_place_offset) == offset) &&
         fits(theirs.shard_offset, theirs.shard_stride, theirs.row_bytes, a.outer, arena) &&
         fits(theirs.output_offset, theirs.output_stride, theirs.output_row_bytes, a.outer, arena);
}

__device__ void report_mismatch(const Call& call, const Terms& terms, std::uint32_t members) {
  if (atomicExch(&call.own().claimed, 1) != 0) return;
  Mapped& report = *call.arguments.mapped;
  auto* const headers = reinterpret_cast<std::uint64_t(*)[header_words]>(&report + 1);
  for (int i = 0; i < call.arguments.size; ++i) {
    for (int word = 0; word < header_words; ++word) headers[i][word] = terms.headers[i][word];
  }
  report.call = call.number;
  report.members = members;
  report.outer = call.arguments.outer;
  __threadfence_system();
  *const_cast<volatile std::uint32_t*>(&report.reason) =
      static_cast<std::uint32_t>(Reason::mismatch);
  __threadfence();
  *const_cast<volatile std::uint32_t*>(&call.own().failed) = 1;
}

// Waits for all headers and checks them: false, for all threads of the block, when the call is
// given up.
__device__ bool agree(const Call& call, Terms& terms) {
  receive_headers(call, terms);
  __syncthreads();
  if (*call.stop != 0) return false;
  const int i = static_cast<int>(threadIdx.x);
  const bool mismatch = i < call.arguments.size && !agrees(call, terms, i);
  if (__syncthreads_or(mismatch) == 0) return true;
  if (threadIdx.x == 0) report_mismatch(call, terms, 0);
  return false;
}

// ---- Rows
// ----------------------------------------------------------------------------------------

// Rows of bytes at a stride.
struct Rows {
  std::byte* base;
  std::uint64_t stride;
};

__device__ Rows own_output(const Call& call, const Terms& terms, int sender) {
  return {call.arguments.output + terms.row_offset[sender], call.arguments.output_stride};
}

__device__ Rows own_shard(const Call& call) {
  return {const_cast<std::byte*>(call.arguments.shard), call.arguments.shard_stride};
}

// The lowest bit that is set in any address of a run of rows, as far as `most`.
__device__ std::uint32_t alignment(const Rows& rows, std::uint64_t row_bytes, std::uint32_t most) {
  const std::uint64_t bits =
      reinterpret_cast<std::uint64_t>(rows.base) | rows.stride | row_bytes | most;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

enum class Whose { own, peers };

// Non-coherent only where no peer writes: what lies in this member's own shard.
template <Whose whose, typename Word>
__device__ Word load(const Word* from) {
  if constexpr (whose == Whose::own) {
    return __ldg(from);
  } else {
    return __ldcg(from);
  }
}

template <typename Word, typename Index>
__device__ Word* place(const Rows& rows, Index row, Index column) {
  return reinterpret_cast<Word*>(rows.base + row * rows.stride) + column;
}

// Copies the words [begin, end) of a section to several places, each word read once. `row_words`
// words lie in a row; this thread takes every `step`-th word from `first` on.
template <Whose whose, typename Word, typename Index>
__device__ void copy_words(const Rows* to,
                           int places,
                           const Rows& from,
                           std::uint64_t row_words64,
                           std::uint64_t begin,
                           std::uint64_t end,
                           std::uint32_t first,
                           std::uint32_t step) {
  constexpr int unrolled = sizeof(Word) == 16 ? 4 : 8;
  const Index row_words = static_cast<Index>(row_words64);
  std::uint64_t i = begin + first;
  for (; i + std::uint64_t{step} * (unrolled - 1) < end; i += std::uint64_t{step} * unrolled) {
    Word words[unrolled];
    Index row[unrolled], column[unrolled];
#pragma unroll
    for (int u = 0; u < unrolled; ++u) {
      const auto index = static_cast<Index>(i + std::uint64_t{step} * u);
      row[u] = index / row_words;
      column[u] = index - row[u] * row_words;
      words[u] = load<whose, Word>(place<Word>(from, row[u], column[u]));
    }
    for (int p = 0; p < places; ++p) {
      const Rows rows = to[p];
#pragma unroll
      for (int u = 0; u < unrolled; ++u) *place<Word>(rows, row[u], column[u]) = words[u];
    }
  }
  for (; i < end; i += step) {
    const auto index = static_cast<Index>(i);
    const Index row = index / row_words;
    const Index column = index - row * row_words;
    const Word word = load<whose, Word>(place<Word>(from, row, column));
    for (int p = 0; p < places; ++p) *place<Word>(to[p], row, column) = word;
  }
}

template <Whose whose, typename Word>
__device__ void copy_as(const Rows* to,
                        int places,
                        const Rows& from,
                        std::uint64_t row_bytes,
                        std::uint64_t begin,
                        std::uint64_t end,
                        std::uint32_t first,
                        std::uint32_t step) {
  constexpr std::uint64_t size = sizeof(Word);
  const std::uint64_t most = std::uint64_t{1} << 32;
  if (end / size < most && row_bytes / size < most) {
    copy_words<whose, Word, std::uint32_t>(
        to, places, from, row_bytes / size, begin / size, end / size, first, step);
  } else {
    copy_words<whose, Word, std::uint64_t>(
        to, places, from, row_bytes / size, begin / size, end / size, first, step);
  }
}

// The bytes [begin, end) of a section of rows, by the widest words that all places allow.
template <Whose whose>
__device__ void copy(const Rows* to,
                     int places,
                     const Rows& from,
                     std::uint64_t row_bytes,
                     std::uint64_t begin,
                     std::uint64_t end,
                     std::uint32_t first,
                     std::uint32_t step) {
  if (begin >= end) return;
  std::uint32_t width = alignment(from, row_bytes | begin | end, 16);
  for (int p = 0; p < places; ++p) width = min(width, alignment(to[p], row_bytes, 16));
  switch (width) {
    case 16:
      return copy_as<whose, uint4>(to, places, from, row_bytes, begin, end, first, step);
    case 8:
      return copy_as<whose, uint2>(to, places, from, row_bytes, begin, end, first, step);
    case 4:
      return copy_as<whose, std::uint32_t>(to, places, from, row_bytes, begin, end, first, step);
    case 2:
      return copy_as<whose, std::uint16_t>(to, places, from, row_bytes, begin, end, first, step);
    default:
      return copy_as<whose, std::uint8_t>(to, places, from, row_bytes, begin, end, first, step);
  }
}

// ---- Packets
// -------------------------------------------------------------------------------------

// Where byte `at` of a section lies.
__device__ std::byte* byte_at(const Rows& rows, std::uint32_t row_bytes, std::uint32_t at) {
  const std::uint32_t row = at / row_bytes;
  return rows.base + row * rows.stride + (at - row * row_bytes);
}

// Eight bytes of a section, fewer at its end.
__device__ std::uint64_t load_payload(
    const Rows& rows, std::uint32_t row_bytes, std::uint32_t bytes, std::uint32_t at, int width) {
  if (width == 8)
    return __ldg(reinterpret_cast<const unsigned long long*>(byte_at(rows, row_bytes, at)));
  std::uint64_t payload = 0;
  for (std::uint32_t b = 0; b < packet_payload && at + b < bytes; b += width) {
    const std::byte* from = byte_at(rows, row_bytes, at + b);
    std::uint64_t part;
    if (width == 4) {
      part = __ldg(reinterpret_cast<const std::uint32_t*>(from));
    } else if (width == 2) {
      part = __ldg(reinterpret_cast<const std::uint16_t*>(from));
    } else {
      part = __ldg(reinterpret_cast<const std::uint8_t*>(from));
    }
    payload |= part << (8 * b);
  }
  return payload;
}

__device__ void store_payload(const Rows& rows,
                              std::uint32_t row_bytes,
                              std::uint32_t bytes,
                              std::uint32_t at,
                              int width,
                              std::uint64_t payload) {
  if (width == 8) {
    *reinterpret_cast<std::uint64_t*>(byte_at(rows, row_bytes, at)) = payload;
    return;
  }
  for (std::uint32_t b = 0; b < packet_payload && at + b < bytes; b += width) {
    std::byte* to = byte_at(rows, row_bytes, at + b);
    const std::uint64_t part = payload >> (8 * b);
    if (width == 4) {
      *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(part);
    } else if (width == 2) {
      *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(part);
    } else {
      *reinterpret_cast<std::uint8_t*>(to) = static_cast<std::uint8_t>(part);
    }
  }
}

__device__ void send_packets(const Call& call, std::uint32_t first, std::uint32_t step) {
  const Arguments& a = call.arguments;
  const Rows shard = own_shard(call);
  const auto row_bytes = static_cast<std::uint32_t>(a.header.row_bytes);
  const auto bytes = static_cast<std::uint32_t>(a.outer * a.header.row_bytes);
  const std::size_t slot = a.layout.packets(a.self, call.number);
  const int width = alignment(shard, row_bytes, packet_payload);
  for (std::uint32_t i = first; i * packet_payload < bytes; i += step) {
    const std::uint64_t payload = load_payload(shard, row_bytes, bytes, i * packet_payload, width);
    for (int k = 1; k < a.size; ++k) {
      put(call.theirs(call.peer(k), slot) + std::size_t{i} * sizeof(Packet),
          payload,
          call.flag32());
    }
  }
}

__device__ void keep_own(const Call& call,
                         const Terms& terms,
                         std::uint32_t first,
                         std::uint32_t step) {
  const Arguments& a = call.arguments;
  if (a.header.in_place_offset != Gather::not_in_place) return;
  const Rows to = own_output(call, terms, a.self);
  copy<Whose::own>(
      &to, 1, own_shard(call), a.header.row_bytes, 0, a.outer * a.header.row_bytes, first, step);
}

__device__ void receive_packets(const Call& call,
                                const Terms& terms,
                                std::uint32_t first,
                                std::uint32_t step) {
  const Arguments& a = call.arguments;
  for (int k = 1; k < a.size; ++k) {
    const int from = call.peer(k);
    const Rows to = own_output(call, terms, from);
    const auto row_bytes = static_cast<std::uint32_t>(terms.header(from).row_bytes);
    const auto bytes = static_cast<std::uint32_t>(a.outer * row_bytes);
    const std::byte* slot = call.mine(a.layout.packets(from, call.number));
    const int width = alignment(to, row_bytes, packet_payload);
    for (std::uint32_t i = first; i * packet_payload < bytes; i += step) {
      const std::byte* packet = slot + std::size_t{i} * sizeof(Packet);
      std::uint64_t payload;
      if (!wait(call, from, [&] { return get(packet, call.flag32(), payload); })) return;
      store_payload(to, row_bytes, bytes, i * packet_payload, width, payload);
    }
  }
}

// ---- Routes
// --------------------------------------------------------------------------------------

enum class Route { nothing, push, pull, staged };

// Both sides of a pair find the same.
__device__ Route route(const Call& call, const Terms& terms, int sender, int receiver) {
  if (sender == receiver || call.arguments.outer * terms.header(sender).row_bytes == 0) {
    return Route::nothing;
  }
  if (terms.header(receiver).output_offset != private_memory) return Route::push;
  if (terms.header(sender).shard_offset != private_memory) return Route::pull;
  return Route::staged;
}

// This member's section to all outputs that it writes: a word is read once.
__device__ void push(const Call& call, const Terms& terms, Rows* places) {
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
                   own_shard(call),
                   a.header.row_bytes,
                   0,
                   a.outer * a.header.row_bytes,
                   blockIdx.x * blockDim.x + threadIdx.x,
                   gridDim.x * blockDim.x);
}

__device__ void pull(const Call& call, const Terms& terms) {
  const Arguments& a = call.arguments;
  for (int k = 1; k < a.size; ++k) {
    const int from = call.peer(k);
    if (route(call, terms, from, a.self) != Route::pull) continue;
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
}

// A block's pieces of a staged section are every gridDim.x-th: this one's piece `turn`.
__device__ std::uint64_t piece_begin(std::uint64_t turn) {
  return (turn * gridDim.x + blockIdx.x) * piece_bytes;
}

__device__ std::uint64_t staged_flag(const Call& call, std::uint64_t pieces) {
  return call.number << 32 | pieces;
}

// Packed bytes as rows whose first byte is byte `begin` of the section.
__device__ Rows packed(std::byte* piece, std::uint64_t begin, std::uint64_t row_bytes) {
  return {piece - begin, row_bytes};
}

// Puts this block's next piece where the peers can read it, once all have taken the one that lay
// there.
__device__ bool publish_piece(const Call& call, const Terms& terms, std::uint64_t turn) {
  const Arguments& a = call.arguments;
  const int block = static_cast<int>(blockIdx.x);
  const std::uint64_t bytes = a.outer * a.header.row_bytes;
  const int i = static_cast<int>(threadIdx.x);
  const bool receives = i < a.size && route(call, terms, a.self, i) == Route::staged;
  if (receives && turn >= ring_pieces) {
    const std::byte* taken = call.mine(a.layout.taken(i, block));
    const std::uint64_t due = staged_flag(call, turn - ring_pieces + 1);
    wait(call, i, [&] { return flag(taken) >= due; });
  }
  __syncthreads();
  if (*call.stop != 0) return false;
  const std::uint64_t begin = piece_begin(turn);
  const Rows to = packed(call.mine(a.layout.piece(block, turn)), begin, a.header.row_bytes);
  copy<Whose::own>(&to,
                   1,
                   own_shard(call),
                   a.header.row_bytes,
                   begin,
                   min(begin + piece_bytes, bytes),
                   threadIdx.x,
                   blockDim.x);
  __syncthreads();
  if (receives) {
    __threadfence_system();
    set_flag(call.theirs(i, a.layout.published(a.self, block)), staged_flag(call, turn + 1));
  }
  return true;
}

__device__ bool take_piece(const Call& call, const Terms& terms, int from, std::uint64_t turn) {
  const Arguments& a = call.arguments;
  const int block = static_cast<int>(blockIdx.x);
  const Header& header = terms.header(from);
  const std::uint64_t due = staged_flag(call, turn + 1);
  if (threadIdx.x == 0) {
    const std::byte* published = call.mine(a.layout.published(from, block));
    wait(call, from, [&] { return flag(published) >= due; });
  }
  __syncthreads();
  if (*call.stop != 0) return false;
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
    __threadfence_system();
    set_flag(call.theirs(from, a.layout.taken(a.self, block)), due);
  }
  return true;
}

// All members go through the turns in step: who is in turn t needs others' turns up to t only, so
// somebody can always go on.
__device__ bool stage(const Call& call, const Terms& terms) {
  const Arguments& a = call.arguments;
  bool stages_out = false;
  bool any = false;
  for (int i = 0; i < a.size; ++i) {
    stages_out |= route(call, terms, a.self, i) == Route::staged;
    any |= route(call, terms, i, a.self) == Route::staged;
  }
  if (!stages_out && !any) return true;
  for (std::uint64_t turn = 0;; ++turn) {
    bool more = false;
    const std::uint64_t begin = piece_begin(turn);
    if (stages_out && begin < a.outer * a.header.row_bytes) {
      more = true;
      if (!publish_piece(call, terms, turn)) return false;
    }
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

// ---- Entering and leaving
// ------------------------------------------------------------------------

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

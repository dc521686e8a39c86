#include "transport/shm/movement.h"

#include "muster/error.h"
#include "transport/shm/prefetch.h"
#include "world/futex.h"

#include <algorithm>
#include <cstring>

namespace muster::transport::shm {

namespace {

// A step of copying: short enough to look at failure between, and to stay in a core's cache while
// it is written to several outputs.
constexpr std::size_t block_bytes = 128 << 10;

// Longer sections are copied to this member's own output block by block, while a block is in a
// cache.
constexpr std::size_t longest_placed_ahead = 4 << 10;

// An output larger than this is written past the caches.
constexpr std::size_t smallest_bypassing_output = 1 << 20;

bool are_in_own_lines(const MutableRows& rows, std::size_t row_bytes, std::size_t outer) {
  constexpr std::size_t line_bytes = 64;
  const std::size_t stride = outer > 1 ? rows.stride : 0;
  return (reinterpret_cast<std::uintptr_t>(rows.data) | row_bytes | stride) % line_bytes == 0;
}

}  // namespace

Movement::Movement(const Endpoint& endpoint,
                   Failures& failures,
                   Waiter& waiter,
                   const Agreement& agreement)
    : endpoint_(endpoint),
      failures_(failures),
      waiter_(waiter),
      agreement_(agreement),
      staging_(endpoint),
      pairs_(static_cast<std::size_t>(endpoint.size())) {}

void Movement::fill_outbox(std::uint64_t call) {
  if (agreement_.header(endpoint_.self).in_outbox == 0 || endpoint_.size() == 1) return;
  copy_section({endpoint_.own().outbox(call), gather_.shard_row_bytes},
               own_shard(),
               gather_.shard_row_bytes,
               0,
               gather_.shard_bytes(),
               Caching::keep);
}

void Movement::place_own_section() {
  const bool first_or_last = endpoint_.self == 0 || endpoint_.self == endpoint_.size() - 1;
  own_is_placed_ = gather_.in_place_offset != Gather::not_in_place;
  if (own_is_placed_ || !agreement_.is_known() || !first_or_last ||
      gather_.shard_bytes() > longest_placed_ahead) {
    return;
  }
  copy_section(own_output(endpoint_.self),
               own_shard(),
               gather_.shard_row_bytes,
               0,
               gather_.shard_bytes(),
               Caching::keep);
  own_is_placed_ = true;
}

void Movement::run(std::uint64_t call) {
  call_ = call;
  pushed_ = 0;
  staged_ = 0;
  endpoint_.for_each_peer([&](int i) { pair(i).received = 0; });
  receive_outboxes();
  take_lines_of_words();
  while (!all_moved()) {
    if (!step()) wait_for_progress();
    if (failures_.failed()) throw failures_.recorded();
  }
  wait_for_peers();
  if (caching_ == Caching::bypass) finish_bypassing();
}

Movement::Route Movement::route(int sender, int receiver) const {
  if (section_bytes(sender) == 0) return Route::nothing;
  if (agreement_.header(sender).in_outbox != 0) return Route::outbox;
  if (agreement_.header(receiver).output_offset != private_memory) return Route::push;
  if (agreement_.header(sender).shard_offset != private_memory) return Route::pull;
  return Route::staged;
}

void Movement::choose_routes() {
  const std::size_t output_bytes = gather_.outer * gather_.output_row_bytes;
  caching_ = output_bytes >= smallest_bypassing_output ? Caching::bypass : Caching::keep;
  staging_out_ = false;
  endpoint_.for_each_peer([&](int i) {
    pair(i) = {.in = route(i, endpoint_.self), .out = route(endpoint_.self, i), .received = 0};
    staging_out_ |= pair(i).out == Route::staged;
    pair(i).in_own_lines = pair(i).out == Route::push &&
                           are_in_own_lines(output_of(i), gather_.shard_row_bytes, gather_.outer);
  });
  if (staging_out_) staging_.require();
  block_bytes_ = staging_out_ ? Staging::piece_bytes(gather_.shard_bytes()) : block_bytes;
}

MutableRows Movement::own_output(int sender) const {
  return {gather_.output + agreement_.row_offset(sender), gather_.output_stride};
}

MutableRows Movement::output_of(int receiver) const {
  const Header& header = agreement_.header(receiver);
  std::byte* arena = endpoint_.state->arena_of(endpoint_.group[receiver]).base();
  return {arena + header.output_offset + agreement_.row_offset(endpoint_.self),
          header.output_stride};
}

void Movement::receive_outboxes() {
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).in != Route::outbox) return;
    const std::size_t row_bytes = agreement_.header(i).row_bytes;
    copy_section(own_output(i),
                 {endpoint_.of(i).outbox(call_), row_bytes},
                 row_bytes,
                 0,
                 section_bytes(i),
                 Caching::keep);
  });
}

// While rows are under way, the lines of the words that end a push and begin the next call come
// here too, each of which would otherwise be another trip. Not those of a call without a push: a
// peer would look at the next header's word before it is written, and take its line back. Nor the
// word of a push to lines that others write as well, which takes long enough to be looked for too
// early.
void Movement::take_lines_of_words() {
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).out != Route::push) return;
    prefetch_to_write(&endpoint_.of(i).slot(endpoint_.self, call_ + 1).word);
    if (pair(i).in_own_lines) prefetch_to_write(&endpoint_.of(i).from(endpoint_.self).pushed);
  });
}

// One turn to everything that is under way. Returns whether anything moved.
bool Movement::step() {
  bool moved = staging_out_ && stage_piece();
  if (pushed_ < gather_.shard_bytes()) {
    push_block();
    moved = true;
  }
  endpoint_.for_each_peer([&](int i) {
    if (failures_.failed()) return;  // looked at between blocks, for the peers of a large group
    if (pair(i).in == Route::pull) moved |= pull_block(i);
    if (pair(i).in == Route::staged) moved |= take_pieces(i);
  });
  return moved;
}

// The next block of this member's section, to every output that it writes itself: a block is read
// from memory once. Peers come first, so that the last block is under way to them during the copy
// to this member's own output.
void Movement::push_block() {
  const std::size_t bytes = gather_.shard_bytes();
  const std::size_t begin = pushed_;
  const std::size_t end = std::min(bytes, begin + block_bytes_);
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).out != Route::push || failures_.failed()) return;
    copy_section(output_of(i), own_shard(), gather_.shard_row_bytes, begin, end, caching_);
  });
  if (failures_.failed()) return;
  if (end == bytes) signal(&PeerWords::pushed, &Pair::out, Route::push);
  if (!own_is_placed_) {
    copy_section(
        own_output(endpoint_.self), own_shard(), gather_.shard_row_bytes, begin, end, caching_);
  }
  pushed_ = end;
}

// Tells the peers on a route that this call's rows have moved.
void Movement::signal(std::atomic<std::uint64_t> PeerWords::*word,
                      Route Pair::*direction,
                      Route route) {
  if (caching_ == Caching::bypass) finish_bypassing();
  bool any = false;
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).*direction != route) return;
    (endpoint_.of(i).from(endpoint_.self).*word).store(call_, std::memory_order_release);
    any = true;
  });
  if (!any) return;
  world::full_fence();
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).*direction == route) waiter_.wake(i);
  });
}

// The next piece of this member's section, if there is one and the ring has room for it.
bool Movement::stage_piece() {
  const std::size_t bytes = gather_.shard_bytes();
  if (staged_ == Staging::pieces(bytes)) return false;
  bool room = true;
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).out != Route::staged) return;
    const auto taken = from(i).taken.load(std::memory_order_acquire);
    room &= staged_ < Staging::pieces_done(taken, call_) + Staging::depth(bytes);
  });
  if (!room) return false;
  const std::size_t begin = staged_ * Staging::piece_bytes(bytes);
  const std::size_t end = std::min(bytes, begin + Staging::piece_bytes(bytes));
  // The piece's rows are packed: its first byte is byte `begin` of the section.
  copy_section({staging_.piece(staged_, bytes) - begin, gather_.shard_row_bytes},
               own_shard(),
               gather_.shard_row_bytes,
               begin,
               end,
               caching_);
  if (caching_ == Caching::bypass) finish_bypassing();
  ++staged_;
  const std::uint64_t flag = Staging::flag(call_, staged_);
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).out != Route::staged) return;
    endpoint_.of(i).from(endpoint_.self).published.store(flag, std::memory_order_release);
  });
  world::full_fence();
  endpoint_.for_each_peer([&](int i) {
    if (pair(i).out == Route::staged) waiter_.wake(i);
  });
  return true;
}

bool Movement::pull_block(int i) {
  const std::size_t bytes = section_bytes(i);
  const std::size_t begin = pair(i).received;
  if (begin == bytes) return false;
  const Header& header = agreement_.header(i);
  const std::byte* shard =
      endpoint_.state->arena_of(endpoint_.group[i]).base() + header.shard_offset;
  const std::size_t end = std::min(bytes, begin + block_bytes);
  copy_section(own_output(i), {shard, header.shard_stride}, header.row_bytes, begin, end, caching_);
  pair(i).received = end;
  if (end == bytes) {
    // The sender may change its shard once it has given up on this call; then what was read is not
    // what was gathered.
    if (failures_.failed()) throw failures_.recorded();
    endpoint_.of(i).from(endpoint_.self).pulled.store(call_, std::memory_order_release);
    world::full_fence();
    waiter_.wake(i);
  }
  return true;
}

bool Movement::take_pieces(int i) {
  const std::size_t bytes = section_bytes(i);
  const std::size_t piece_bytes = Staging::piece_bytes(bytes);
  const std::size_t taken = (pair(i).received + piece_bytes - 1) / piece_bytes;
  if (pair(i).received == bytes) return false;
  if (Staging::pieces_done(from(i).published.load(std::memory_order_acquire), call_) <= taken)
    return false;
  const std::size_t begin = pair(i).received;
  const std::size_t end = std::min(bytes, begin + piece_bytes);
  const std::size_t row_bytes = agreement_.header(i).row_bytes;
  const std::byte* piece = staging_.piece_of(i, taken, bytes);
  if (piece == nullptr) {
    throw Error(ErrorCode::mismatch,
                endpoint_.operation() + ": a staging area outside its arena",
                endpoint_.group[i]);
  }
  copy_section(own_output(i), {piece - begin, row_bytes}, row_bytes, begin, end, caching_);
  pair(i).received = end;
  endpoint_.of(i)
      .from(endpoint_.self)
      .taken.store(Staging::flag(call_, taken + 1), std::memory_order_release);
  world::full_fence();
  waiter_.wake(i);
  return true;
}

// Has this member done all the copying that is its own to do?
bool Movement::all_moved() const {
  if (pushed_ < gather_.shard_bytes()) return false;
  if (staging_out_ && staged_ < Staging::pieces(gather_.shard_bytes())) return false;
  for (int i = 0; i < endpoint_.size(); ++i) {
    if (i == endpoint_.self) continue;
    const bool receives = pair(i).in == Route::pull || pair(i).in == Route::staged;
    if (receives && pair(i).received < section_bytes(i)) return false;
  }
  return true;
}

// Nothing can move: sleep until some peer has published a piece, or taken one.
void Movement::wait_for_progress() {
  const std::size_t bytes = gather_.shard_bytes();
  const auto takes_too_long = [&](int i) {
    return pair(i).out == Route::staged && staged_ < Staging::pieces(bytes) &&
           staged_ >= Staging::pieces_done(from(i).taken.load(std::memory_order_acquire), call_) +
                          Staging::depth(bytes);
  };
  const auto publishes_nothing = [&](int i) {
    if (pair(i).in != Route::staged || pair(i).received == section_bytes(i)) return false;
    const std::size_t piece_bytes = Staging::piece_bytes(section_bytes(i));
    return Staging::pieces_done(from(i).published.load(std::memory_order_acquire), call_) *
               piece_bytes <=
           pair(i).received;
  };
  const auto ready = [&] {
    bool room = staging_out_ && staged_ < Staging::pieces(bytes);
    for (int i = 0; i < endpoint_.size(); ++i) {
      if (i == endpoint_.self) continue;
      if (takes_too_long(i)) room = false;
      const bool unfinished = pair(i).in == Route::staged && pair(i).received < section_bytes(i);
      if (unfinished && !publishes_nothing(i)) return true;
    }
    return room;
  };
  waiter_.wait(anybody, ready, [&](int i) { return takes_too_long(i) || publishes_nothing(i); });
}

// This member may return once its output is whole and nobody reads its shard any more.
void Movement::wait_for_peers() {
  const auto unfinished = [&](int i) {
    return (pair(i).in == Route::push && from(i).pushed.load(std::memory_order_acquire) < call_) ||
           (pair(i).out == Route::pull && from(i).pulled.load(std::memory_order_acquire) < call_);
  };
  endpoint_.for_each_peer([&](int i) {
    waiter_.wait(
        static_cast<std::uint32_t>(i), [&] { return !unfinished(i); }, unfinished);
  });
}

}  // namespace muster::transport::shm

// The second half of a call: the rows go where they belong.
//
// Each section takes one of four routes to each member that receives it, which both sides derive
// from their headers:
//   outbox  it is short and came along with the header, which says so;
//   push    the receiver's output lies in its arena: the sender writes the rows there;
//   pull    else the sender's shard lies in its arena: the receiver reads the rows there;
//   staged  else the sender copies piece after piece into its staging area, and the receivers out.
// One loop serves all of them in small steps, so that no pair of members blocks another.
#pragma once

#include "transport/shm/agreement.h"
#include "transport/shm/copy.h"
#include "transport/shm/endpoint.h"
#include "transport/shm/failure.h"
#include "transport/shm/staging.h"
#include "transport/shm/waiter.h"
#include "transport/transport.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::transport::shm {

class Movement {
 public:
  Movement(const Endpoint& endpoint,
           Failures& failures,
           Waiter& waiter,
           const Agreement& agreement);

  // Takes the gather that the next calls run.
  void prepare(const Gather& gather) { gather_ = gather; }

  // Copies a short section to this member's outbox, before its header goes out.
  void fill_outbox(std::uint64_t call);

  // Copies a short section to this member's own output while the headers are under way, if it is
  // known where it belongs: headers that are yet to come may move it, but not that of the first or
  // the last member, whose own header has not changed.
  void place_own_section();

  // Follows the headers, whenever the members have agreed on others than before. Throws
  // out_of_memory when there is no room for a staging area.
  void choose_routes();

  // Moves all rows of a call on which the members have agreed. Throws what the waits throw.
  void run(std::uint64_t call);

  // The staging area, once there is one.
  const Staging& staging() const noexcept { return staging_; }

 private:
  enum class Route : std::uint8_t { nothing, outbox, push, pull, staged };

  // What is under way with one peer.
  struct Pair {
    Route in = Route::nothing;   // its section to my output
    Route out = Route::nothing;  // my section to its output
    bool in_own_lines = false;   // what I push shares no cache line with what others do
    std::size_t received = 0;    // bytes, where I do the copying
  };

  Route route(int sender, int receiver) const;
  void receive_outboxes();
  void take_lines_of_words();
  bool step();
  void push_block();
  bool stage_piece();
  bool pull_block(int i);
  bool take_pieces(int i);
  bool all_moved() const;
  void wait_for_progress();
  void wait_for_peers();
  void signal(std::atomic<std::uint64_t> PeerWords::*word, Route Pair::*direction, Route route);

  std::size_t section_bytes(int i) const { return gather_.outer * agreement_.header(i).row_bytes; }
  MutableRows own_output(int sender) const;
  MutableRows output_of(int receiver) const;
  ConstRows own_shard() const { return {gather_.shard, gather_.shard_stride}; }
  Pair& pair(int i) { return pairs_[static_cast<std::size_t>(i)]; }
  const Pair& pair(int i) const { return pairs_[static_cast<std::size_t>(i)]; }
  const PeerWords& from(int i) const { return endpoint_.own().from(i); }

  const Endpoint& endpoint_;
  Failures& failures_;
  Waiter& waiter_;
  const Agreement& agreement_;
  Staging staging_;

  // Of the terms agreed on.
  Gather gather_;
  std::vector<Pair> pairs_;  // by position
  Caching caching_ = Caching::keep;
  bool staging_out_ = false;  // some receiver takes the staged route
  std::size_t block_bytes_ =
      0;  // of push_block(); a piece that has been staged is still in a cache

  // Of the call under way.
  std::uint64_t call_ = 0;
  std::size_t pushed_ = 0;  // bytes of my section, to all who are pushed to and to my own output
  std::size_t staged_ = 0;  // pieces of my section
  bool own_is_placed_ = false;  // in my own output
};

}  // namespace muster::transport::shm

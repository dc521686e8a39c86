// How a communicator fails for every member, and what each learns.
#pragma once

#include "muster/error.h"
#include "transport/shm/endpoint.h"
#include "world/arena.h"

#include <memory>
#include <mutex>
#include <string_view>

namespace muster::transport::shm {

class PeersHold;

// When a member that died can write no more: what its threads were doing has ended, or what it had
// given its device to do has as well.
enum class Writes { by_threads, by_devices };

class Failures {
 public:
  explicit Failures(const Endpoint& endpoint, Writes writes = Writes::by_threads);

  // Has the communicator failed? A look at this member's own control memory.
  bool failed() const noexcept { return failed_at(endpoint_.self); }

  // The failure on record. Requires failed().
  Error recorded() const { return recorded_at(endpoint_.self); }

  // The same of member i's memory, which may know before this one's: the member that fails the
  // communicator tells one after the other.
  bool failed_at(int i) const noexcept {
    return endpoint_.of(i).failure().state.load(std::memory_order_acquire) != FailureRecord::none;
  }
  Error recorded_at(int i) const;

  // Puts the failure on record with every member and wakes them all. Thread-safe; nothing once this
  // side has ended.
  void announce(const Error& error) noexcept;

  // Announces that this member's application gave up. Thread-safe.
  void abort(std::string_view text);

  // Tells every peer that this member will never write to its memory again, which is the last thing
  // that it writes there: the peer may use the memory for something else at once. Thread-safe.
  void end() noexcept;

  // Waits, but not for long, until every peer has ended its side too: true if all have.
  bool wait_for_peers_to_end() const noexcept;

  // Keeps a range of this rank's arena out of use until every peer has ended its side.
  void keep_from_peers(world::Range range) { keep_from_peers(endpoint_.state->arena(), range); }
  void keep_from_peers(world::Arena& arena, world::Range range);

  // Held by the peers that have not ended their side.
  std::shared_ptr<const world::Hold> peers() const noexcept;

  // Why member i ended its side: its failure, or that it left or died.
  Error reason_of_end(int i) const;

 private:
  Error unwritten_failure() const;

  const Endpoint& endpoint_;
  std::shared_ptr<const PeersHold> hold_;
  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace muster::transport::shm

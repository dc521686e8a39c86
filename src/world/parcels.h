// Descriptors that ranks hand to each other while the world lives: of memory that came later than
// the rendezvous.
#pragma once

#include "world/deadline.h"
#include "world/liveness.h"
#include "world/unique_fd.h"

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muster::world {

// What a peer handed over.
struct Parcel {
  int from = 0;
  std::vector<std::byte> label;
  UniqueFd descriptor;
};

// This rank's half of the sockets to all peers. A rank's watcher takes in what arrives, so a giver
// waits for no thread of the application. Thread-safe.
class Parcels final : public Listener {
 public:
  static constexpr std::size_t longest_label = 128;

  // Takes a parcel in; false if this rank cannot use it, which its giver learns. Called on the
  // watcher thread, or by set_taker().
  using Taker = std::function<bool(const Parcel&)>;

  // `sockets` by rank; none for a world of threads, whose ranks need no descriptors.
  void open(std::vector<UniqueFd> sockets, std::vector<WorldControl*> controls);

  // Does this world hand descriptors over? Not where its ranks are threads of one process.
  bool between_processes() const noexcept { return !sockets_.empty(); }

  // -1 where there is none.
  int socket(int rank) const noexcept {
    return sockets_.empty() ? -1 : sockets_[static_cast<std::size_t>(rank)].get();
  }

  // Hands a duplicate of the descriptor to every living peer, and returns when all have taken it
  // in; a rank that could not use it, if any. Throws timeout naming a rank that does not take it,
  // system.
  std::optional<int> give(int descriptor,
                          std::span<const std::byte> label,
                          const Liveness& liveness,
                          Deadline deadline);

  // From now on what arrives goes to `taker`, beginning with what has arrived before.
  void set_taker(Taker taker);

  void attention() noexcept override;  // on the watcher thread

 private:
  struct Envelope;

  void receive_from(int rank);
  void take(int rank, const Envelope& envelope, UniqueFd descriptor);
  void send_to(int rank, const Envelope& envelope, int descriptor, Deadline deadline) const;

  std::vector<UniqueFd> sockets_;        // by rank
  std::vector<WorldControl*> controls_;  // by rank

  std::mutex giving_;  // one parcel at a time
  std::mutex mutex_;
  std::condition_variable answered_;
  std::uint64_t given_ = 0;
  std::vector<std::uint64_t> answers_;  // by rank: the last parcel that it has taken
  std::vector<std::uint64_t> refused_;  // by rank: the last parcel that it could not use

  std::mutex taking_;
  Taker taker_;
  std::vector<Parcel> waiting_;  // until there is a taker
};

}  // namespace muster::world

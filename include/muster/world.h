/// @file
/// All ranks of a job.
#pragma once

#include <muster/buffer.h>
#include <muster/device.h>
#include <muster/export.h>
#include <muster/group.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace muster {

namespace world {
class State;
}

/// The ranks of a job, as one of them sees it. Movable, not copyable; all functions are
/// thread-safe. Communicators and Buffers made from it keep what they need of it alive.
class MUSTER_EXPORT World {
 public:
  /// The most ranks a world can have.
  static constexpr int max_size = 128;

  static constexpr std::chrono::milliseconds default_timeout = std::chrono::seconds(30);

  /// Joins the world that the launcher (`muster run`) started this process for.
  ///
  /// Reads MUSTER_RANK, MUSTER_WORLD_SIZE, MUSTER_RENDEZVOUS (a directory of this user with mode
  /// 0700) and MUSTER_TOKEN (the job's token) from the environment. With none of them set, the
  /// world is this process alone.
  ///
  /// A process joins once: while a World that this returned lives, or something made from one,
  /// every further call returns the same world without waiting for other ranks, so that a program
  /// and the layers that it loads share theirs. When the last is gone the process has left the
  /// world, for good. Calls from several threads at once wait for the one that joins. A forked
  /// child is not the rank that its parent is.
  ///
  /// @throws Error invalid_argument when the environment is incomplete or wrong, when the rank is
  ///         taken, when this process has left its world; mismatch for a peer of another job or
  ///         protocol version; timeout naming the ranks that did not come; unsupported in a child
  ///         that was forked from a rank; out_of_memory; system. A call that failed may be
  ///         repeated.
  static World join(std::chrono::milliseconds timeout = default_timeout);

  /// A world of `size` ranks for threads of this process; element r is rank r's, to be moved to
  /// the thread that acts as rank r.
  /// @throws Error invalid_argument unless 1 <= size <= max_size; out_of_memory; system.
  static std::vector<World> threads(int size);

  /// In bytes, of exchange().
  static constexpr std::size_t longest_blob = std::size_t{1} << 30;

  ~World();
  World(World&&) noexcept;
  World& operator=(World&&) noexcept;

  int rank() const noexcept;
  int size() const noexcept;

  /// Memory that every peer can reach, for tensors on `device`. A local call: no thread of a peer
  /// takes part. On a GPU, peers map the memory before it returns; several ranks may use one GPU.
  /// @throws Error out_of_memory; unsupported when there is no such kind of device here ("no CUDA
  ///         driver") and in a child that was forked from a rank, invalid_argument for an ordinal
  ///         that there is not, timeout when a peer does not map the memory; system. 0 bytes is
  ///         legal and gives an empty Buffer.
  Buffer allocate(std::size_t bytes, Device device = Device::cpu());

  /// All-gathers small blobs on the host: element i is what member i of the group passed. Blobs may
  /// differ in size. Every member must call; calls on the same group are matched in order.
  /// @throws Error invalid_argument when this rank is not in the group, the group has a rank
  ///         outside the world, or the blob is longer than longest_blob; mismatch when a member
  ///         passes the same ranks in another order; timeout; peer_lost; out_of_memory;
  ///         unsupported in a child that was forked from a rank.
  std::vector<std::vector<std::byte>> exchange(const Group& group,
                                               std::span<const std::byte> bytes,
                                               std::chrono::milliseconds timeout = default_timeout);

  /// The members of `group` that are alive and called this too, in the group's order; all who get
  /// an answer get the same one. Call it after a failure to agree on whom to go on with. Members
  /// that neither call nor die are waited for until the timeout, then left out. A rank that uses
  /// GPUs also waits until the processes of the dead have ended, but not longer than 2 s: until
  /// then their GPUs may go on writing.
  /// @throws Error invalid_argument as exchange(); timeout with this rank's own number when the
  ///         others have gone on without it, or another thread of this rank is still in a call on
  ///         the group; out_of_memory when more than 32 groups with the same first rank have asked
  ///         in the life of the world; unsupported in a child that was forked from a rank.
  Group survivors(const Group& group, std::chrono::milliseconds timeout = default_timeout);

 private:
  friend class Communicator;
  explicit World(std::shared_ptr<world::State> state) noexcept;

  std::shared_ptr<world::State> state_;
};

}  // namespace muster

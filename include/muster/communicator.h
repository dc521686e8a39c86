/// @file
/// A live membership of one group, and the gather.
#pragma once

#include <muster/device.h>
#include <muster/export.h>
#include <muster/group.h>
#include <muster/tensor.h>
#include <muster/transport.h>
#include <muster/world.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace muster {

/// How a communicator behaves.
struct CommunicatorOptions {
  /// How long a gather, and the making of the communicator, may wait for peers.
  std::chrono::milliseconds timeout = World::default_timeout;
  /// Tells communicators of one group apart. Members with the same (group, tag) find each other,
  /// in whatever order they are made. At most 1024 bytes.
  std::string tag = {};
  /// Where the tensors live.
  Device device = Device::cpu();
  /// How bytes travel; the same for all members. What is chosen automatically serves them all: GPUs
  /// that do not reach each other's memory use NCCL, where there is NCCL.
  Transport transport = Transport::automatic;
};

/// A member's place in the gathered tensor, along gather_dim, in elements.
struct Section {
  std::int64_t offset = 0;
  std::int64_t extent = 0;
};

/// One rank's membership of a group. Movable, not copyable. Cheap: make one for each layer.
///
/// One thread uses a communicator at a time (abort() alone may come from any thread); different
/// communicators are independent. Members make the same gathers in the same order.
///
/// What a gather promises: each member's call ends with its own output right, byte for byte, or
/// throws. An invalid_argument sends nothing and may be retried. Any other failure fails the
/// communicator for every member, in this call or, for a member whose data had already arrived, in
/// its next; from then on every call throws at once, and outputs are unspecified. Make a new one
/// from the same World to go on.
///
/// After a timeout, the missing member may still be running and could yet write to the output that
/// it was offered. That memory (if it lies in a Buffer) is quarantined: the caller must not reuse
/// it, and gathers into it are refused, until that member acknowledges or dies.
class MUSTER_EXPORT Communicator {
 public:
  /// Makes the communicator together with the other members, waiting at most options.timeout for
  /// them to come. On GPUs they then tell each other whether they are connected, for which they
  /// wait as long again, and NCCL may take as long to connect them.
  /// On a GPU it belongs to the CUDA context on that device that is the thread's now, or else to
  /// the device's primary one; so must the streams that it gathers on.
  /// @throws Error invalid_argument when this rank is not in the group, a rank is outside the
  ///         world, the tag is too long, the timeout is negative, this process sees no such
  ///         device, or (group, tag) is in use by this rank; mismatch when a
  ///         member uses the tag with another group, device, transport or protocol version;
  ///         timeout; peer_lost; out_of_memory; system; unsupported when this build, or some
  ///         member's machine, has no such kind of device or transport, and in a child that was
  ///         forked from a rank.
  Communicator(World& world, Group group, CommunicatorOptions options = {});

  /// Local: on the CPU waits for nobody. A peer that still calls gets peer_lost, «left». On a GPU
  /// it ends the gathers that are in flight (by NCCL after at most options.timeout), for which this
  /// rank's own streams have to come to them.
  ~Communicator();
  Communicator(Communicator&&) noexcept;
  Communicator& operator=(Communicator&&) noexcept;

  const Group& group() const noexcept;
  int position() const noexcept;  ///< of this rank in the group
  const CommunicatorOptions& options() const noexcept;

  /// Gathers every member's shard along `gather_dim` into every member's `full`.
  ///
  /// Required: same dtype, and `full.shape` equal to `shard.shape` but in `gather_dim`, where it is
  /// the sum of the members' extents. Extents may differ between members, and may be 0; nobody
  /// passes a list of sizes. `gather_dim` may be negative; members may mix the two ways to count.
  ///
  /// May alias: `shard` may be this member's own section of `full` (same address and same row
  /// stride as the section). Any other overlap is an error.
  ///
  /// One copy where `full` or the sender's shard lies in a Buffer; two through staging otherwise.
  ///
  /// On a GPU the call enqueues the gather and returns: it waits for no other member and allocates
  /// nothing on the device, and may be captured in a CUDA graph. (By NCCL it waits for the other
  /// members' calls, and the first ones may allocate.) A failure on the device is thrown by check()
  /// and by the next call; until then outputs are unspecified. Gathers of one communicator follow
  /// each other also on different streams, but for those in a graph. The communicator must outlive
  /// its graphs and their launches; its destructor aborts a gather that is still in flight.
  ///
  /// @param stream on a GPU, where the gather is enqueued: not the legacy default stream, nor one
  ///        that another rank of this process uses; on the CPU only the default.
  /// @throws Error invalid_argument (nothing was sent); mismatch, timeout, peer_lost,
  ///         out_of_memory, and on a GPU system when CUDA fails: the communicator has failed, but
  ///         goes on if the call was to be captured (not by NCCL); unsupported in a child that was
  ///         forked from a rank.
  void all_gather(const ConstTensorView& shard,
                  const TensorView& full,
                  int gather_dim,
                  Stream stream = {});

  /// Gathers where each member's section is already in its place in `full`: equal sections unless
  /// the member says where its own lies.
  /// @throws Error as all_gather(); invalid_argument when the extent does not divide by the group's
  ///         size and no section is given, or when the section is outside `full`.
  void all_gather_in_place(const TensorView& full,
                           int gather_dim,
                           std::optional<Section> section = std::nullopt,
                           Stream stream = {});

  /// Throws the failure that has happened, if any, without communicating: on a GPU this is how a
  /// failure on the device is learnt.
  /// @throws Error as all_gather(), but for invalid_argument.
  void check();

  /// Fails the communicator for all members at once: their current or next call throws peer_lost
  /// with this rank and this text. Thread-safe; local; idempotent.
  /// @throws Error unsupported in a child that was forked from a rank.
  void abort(std::string_view text);

  /// Bytes of control memory that this member's side takes, without staging.
  std::size_t control_bytes() const noexcept;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace muster

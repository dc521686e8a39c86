// What a transport is: it moves rows of bytes between the members of one communicator.
//
// Each transport is a folder beside this file and one line in transports.cpp.
#pragma once

#include "muster/communicator.h"
#include "muster/device.h"
#include "muster/dtype.h"
#include "muster/group.h"
#include "muster/shape.h"
#include "muster/transport.h"
#include "world/state.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace muster::transport {

// One member's side of a gather, as bytes. The caller has checked it for itself; what only the
// members together can know (do their shapes agree, do their sections fill the output) it has not.
struct Gather {
  static constexpr std::int64_t not_in_place = -1;

  DataType dtype = DataType::uint8;
  Shape shard_shape;
  int gather_dim = 0;  // not negative

  std::size_t outer = 0;  // rows, the same for shard and output
  const std::byte* shard = nullptr;
  std::size_t shard_row_bytes = 0;
  std::size_t shard_stride = 0;
  std::byte* output = nullptr;
  std::size_t output_row_bytes = 0;
  std::size_t output_stride = 0;

  // Where in the output's rows the shard already lies, or not_in_place.
  std::int64_t in_place_offset = not_in_place;

  std::size_t shard_bytes() const noexcept { return outer * shard_row_bytes; }
};

// One member's end of a communicator. Used by one thread at a time, but for abort().
class Channel {
 public:
  virtual ~Channel() = default;

  // What the other members must know to reach this one, and the step that learns it of them:
  // element i is member i's introduction. Before connect() nothing else may be called.
  virtual std::vector<std::byte> introduction() const = 0;
  virtual void connect(std::span<const std::vector<std::byte>> introductions) = 0;

  // The members have not become a communicator, whether or not this one could connect; destruction
  // follows. What the introduction tells of stays out of use while `hold` has a holder: a member
  // that has read it and could act on it.
  virtual void abandon(std::shared_ptr<const world::Hold> hold) noexcept = 0;

  // Takes what the next gathers are to do. Layers gather the same tensors call after call, so that
  // whatever follows from the arguments alone is worked out here. Sends nothing.
  virtual void prepare(const Gather& gather) = 0;

  // Runs the prepared gather. Throws mismatch, timeout, peer_lost, out_of_memory, after which the
  // channel has failed for every member and throws the same at once.
  virtual void all_gather(Stream stream) = 0;

  virtual void check() = 0;
  virtual void abort(std::string_view text) = 0;  // thread-safe

  virtual std::size_t control_bytes() const noexcept = 0;
};

// The transports that may serve a communicator with these options, the best first; the same for all
// members that have the same build. A later one is for members that an earlier one cannot connect.
// Throws unsupported when there is none.
std::vector<Transport> candidates(const CommunicatorOptions& options);

// A channel of one of them. Its connect() throws unsupported when these members cannot use it.
std::unique_ptr<Channel> open_channel(Transport transport,
                                      std::shared_ptr<world::State> state,
                                      const Group& group,
                                      const CommunicatorOptions& options);

}  // namespace muster::transport

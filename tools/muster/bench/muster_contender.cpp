#include "bench/contender.h"

#include <muster/muster.h>

#include <memory>

namespace muster::tool {
namespace {

struct Gather {
  Communicator communicator;
  Buffer buffer;  // for the side that peers can reach
  ConstTensorView shard;
  TensorView full;
  int gather_dim;
};

Buffer allocate(World& world, std::size_t bytes) {
  Buffer buffer = world.allocate(bytes);
  prefault(buffer.bytes());
  return buffer;
}

}  // namespace

Contender make_muster(Workspace& workspace, const std::string& placement) {
  const GatherCase& gather = workspace.gather();
  Buffer buffer;
  std::span<std::byte> source = workspace.source(), output;
  if (placement == "push") {
    buffer = allocate(workspace.world(), gather.plan.output_bytes());
    output = buffer.bytes();
  } else {
    output = workspace.output();
  }
  if (placement == "pull") {
    buffer = allocate(workspace.world(), source.size());
    source = buffer.bytes();
  }
  Communicator communicator(
      workspace.world(), Group::range(gather.ranks()), {.tag = "bench/" + placement});
  const auto& shard = gather.shards[static_cast<std::size_t>(workspace.rank())];
  const auto state = std::make_shared<Gather>(
      Gather{.communicator = std::move(communicator),
             .buffer = std::move(buffer),
             .shard = {source.data(), gather.dtype, shard},
             .full = {output.data(), gather.dtype, gather.plan.output_shape()},
             .gather_dim = gather.plan.gather_dim()});
  return {"muster", "shm", placement, source, output, gather.plan, [state] {
            state->communicator.all_gather(state->shard, state->full, state->gather_dim);
          }};
}

}  // namespace muster::tool

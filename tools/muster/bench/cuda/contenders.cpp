#include "bench/cuda/contenders.h"

#include "bench/cuda/move.h"

#include <muster/muster.h>

#include <memory>

namespace muster::tool {
namespace {

// Blocks of the kernel that is a limit, on each GPU.
constexpr int limit_blocks = 132;

struct Gather {
  Communicator communicator;
  Buffer buffer;  // for the side that peers can reach
  ConstTensorView shard;
  TensorView full;
  int gather_dim;
  Stream stream;
};

struct Copies {
  Copies(const GpuRank& rank, std::size_t output_bytes)
      : outputs(rank, output_bytes),
        stream(rank.stream()),
        blocks(limit_blocks / rank.ranks_sharing()) {}

  PeerMemory outputs;
  RowsToMove move;
  cudaStream_t stream;
  int blocks;
};

RowsToMove rows_of(const GpuWorkspace& workspace, const PeerMemory& outputs) {
  const GatherPlan& plan = workspace.gather.plan;
  const int self = workspace.rank.world().rank();
  RowsToMove move;
  move.from = {workspace.source.data(), plan.row_bytes(self)};
  move.places = plan.members();
  move.rows = plan.outer();
  move.row_bytes = plan.row_bytes(self);
  for (int step = 0; step < plan.members(); ++step) {
    const int peer = (self + 1 + step) % plan.members();
    move.to[step] = {outputs.of(peer) + plan.row_offset(self), plan.output_row_bytes()};
  }
  return move;
}

void copy_in_2d(const Copies& copies) {
  const RowsToMove& move = copies.move;
  for (int p = 0; p < move.places; ++p) {
    require_cuda(cudaMemcpy2DAsync(move.to[p].base,
                                   move.to[p].stride,
                                   move.from.base,
                                   move.from.stride,
                                   move.row_bytes,
                                   move.rows,
                                   cudaMemcpyDeviceToDevice,
                                   copies.stream),
                 "copying rows");
  }
}

// What the link between two GPUs gives: each section to the other rank as one run of bytes, from
// rank 0 alone or both ways at once.
Contender make_peer_copy(const GpuWorkspace& workspace,
                         const std::shared_ptr<Copies>& copies,
                         bool both_ways) {
  const std::size_t output_bytes = workspace.gather.plan.output_bytes();
  const int self = workspace.rank.world().rank();
  const int peer = 1 - self;
  const bool sends = both_ways || self == 0;
  const bool receives = both_ways || self == 1;
  const std::span source = workspace.source;
  std::vector<Shape> received(2, Shape{0});
  const std::size_t received_bytes = receives ? output_bytes - source.size() : 0;
  received[static_cast<std::size_t>(peer)] = Shape{static_cast<std::int64_t>(received_bytes)};
  return {both_ways ? "copy, both ways" : "copy, one way",
          "none",
          "shared",
          source,
          {copies->outputs.of(self), received_bytes},
          GatherPlan(received, DataType::uint8, 0),
          [copies, source, output_bytes, self, sends] {
            // Who does not send has something to do too: an empty graph is a case of its own.
            std::byte* const behind = copies->outputs.of(self) + output_bytes - 1;
            const cudaError_t status = sends ? cudaMemcpyAsync(copies->outputs.of(1 - self),
                                                               source.data(),
                                                               source.size(),
                                                               cudaMemcpyDeviceToDevice,
                                                               copies->stream)
                                             : cudaMemsetAsync(behind, 0, 1, copies->stream);
            require_cuda(status, "copying to the peer");
          }};
}

}  // namespace

Contender make_muster_on_gpu(const GpuWorkspace& workspace, const std::string& placement) {
  const GatherCase& gather = workspace.gather;
  World& world = workspace.rank.world();
  const Device device = Device::cuda(workspace.rank.ordinal());
  Buffer buffer;
  std::span<std::byte> source = workspace.source, output = workspace.output;
  if (placement == "push") {
    buffer = world.allocate(output.size(), device);
    output = buffer.bytes();
  } else if (placement == "pull") {
    buffer = world.allocate(source.size(), device);
    source = buffer.bytes();
  }
  Communicator communicator(
      world,
      Group::range(gather.ranks()),
      {.tag = "bench/" + placement, .device = device, .transport = Transport::cuda});
  const auto state = std::make_shared<Gather>(Gather{
      .communicator = std::move(communicator),
      .buffer = std::move(buffer),
      .shard = {source.data(), gather.dtype, gather.shards[static_cast<std::size_t>(world.rank())]},
      .full = {output.data(), gather.dtype, gather.plan.output_shape()},
      .gather_dim = gather.plan.gather_dim(),
      .stream = Stream(workspace.rank.stream())});
  return {"muster", "cuda", placement, source, output, gather.plan, [state] {
            state->communicator.all_gather(
                state->shard, state->full, state->gather_dim, state->stream);
          }};
}

std::vector<Contender> make_limits_on_gpu(const GpuWorkspace& workspace) {
  const GatherPlan& plan = workspace.gather.plan;
  const auto copies = std::make_shared<Copies>(workspace.rank, plan.output_bytes());
  const int self = workspace.rank.world().rank();
  const std::span output(copies->outputs.of(self), plan.output_bytes());
  copies->move = rows_of(workspace, copies->outputs);
  std::vector<Contender> limits;
  limits.push_back({"memcpy2d", "none", "shared", workspace.source, output, plan, [copies] {
                      copy_in_2d(*copies);
                    }});
  if (can_move(plan.row_bytes(self)) && can_move(plan.output_row_bytes())) {
    limits.push_back({"kernel", "none", "shared", workspace.source, output, plan, [copies] {
                        move_rows(copies->move, copies->blocks, copies->stream);
                      }});
  }
  const bool equal = plan.members() == 2 && plan.row_bytes(0) == plan.row_bytes(1);
  if (equal && workspace.rank.ranks_sharing() == 1 && plan.output_bytes() > 0) {
    for (const bool both_ways : {false, true}) {
      limits.push_back(make_peer_copy(workspace, copies, both_ways));
    }
  }
  return limits;
}

}  // namespace muster::tool

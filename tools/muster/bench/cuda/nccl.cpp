#include "bench/cuda/contenders.h"
#include "bench/cuda/move.h"
#include "bench/cuda/nccl_library.h"
#include "bench/cuda/nccl_window.h"
#include "exit_status.h"
#include "machine/nccl_file.h"

#include <fmt/format.h>

#include <cstring>

namespace muster::tool {
namespace {

std::string version_of(const NcclLibrary& nccl) {
  int version = 0;
  nccl.version(&version);
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

struct Nccl::Communicator {
  ncclComm_t handle = nullptr;
};

Nccl::Nccl(const GpuRank& rank) {
  const NcclLibrary* nccl = nccl_library();
  World& world = rank.world();
  const Group all = Group::range(world.size());
  ncclUniqueId id{};
  if (nccl != nullptr && world.rank() == 0) nccl->unique_id(&id);
  const auto ids = world.exchange(all, std::as_bytes(std::span(&id, 1)));
  std::memcpy(&id, ids[0].data(), sizeof id);
  auto communicator = std::make_unique<Communicator>();
  ncclResult_t status = ncclSystemError;
  if (nccl != nullptr) status = nccl->init(&communicator->handle, world.size(), id, world.rank());
  bool everyone = true;
  const std::byte mine{status == ncclSuccess};
  for (const auto& theirs : world.exchange(all, std::span(&mine, 1))) {
    everyone = everyone && theirs[0] == std::byte{1};
  }
  if (everyone) {
    communicator_ = std::move(communicator);
    note_ = "NCCL " + version_of(*nccl);
  } else if (nccl == nullptr) {
    note_ = fmt::format("left out: nccl: there is no {} here", nccl_file());
  } else {
    note_ = fmt::format(
        "left out: nccl: NCCL {} does not take these ranks ({}); below 2.30 it "
        "refuses several on one GPU",
        version_of(*nccl),
        nccl->error_string(status));
    if (status == ncclSuccess) nccl->abort(communicator->handle);
  }
}

Nccl::~Nccl() {
  if (communicator_) nccl_library()->abort(communicator_->handle);
}

std::vector<Contender> Nccl::contenders(const GpuWorkspace& workspace) const {
  const GatherPlan& plan = workspace.gather.plan;
  if (!communicator_ || !workspace.gather.equal() || plan.output_bytes() == 0) return {};
  const std::size_t bytes = workspace.source.size();
  const auto gather = [comm = communicator_->handle, bytes, stream = workspace.rank.stream()](
                          const std::byte* from, std::byte* to) {
    const ncclResult_t status = nccl_library()->all_gather(from, to, bytes, ncclInt8, comm, stream);
    if (status != ncclSuccess) {
      throw Failure(fmt::format("bench: ncclAllGather: {}", nccl_library()->error_string(status)));
    }
  };
  const std::vector<Shape> flat(static_cast<std::size_t>(plan.members()),
                                Shape{static_cast<std::int64_t>(bytes)});
  const auto source = workspace.source;
  const auto output = workspace.output;
  std::vector<Contender> contenders;
  contenders.push_back({"nccl",
                        "nccl",
                        "private",
                        workspace.source,
                        output,
                        GatherPlan(flat, DataType::uint8, 0),
                        [=] { gather(source.data(), output.data()); }});
  // NCCL wants what it stores to aligned.
  const std::size_t begin = (plan.output_bytes() + 4095) / 4096 * 4096;
  const auto window = NcclWindow::make(workspace.rank, communicator_->handle, begin + bytes);
  if (window) {
    const auto shard = window->bytes().subspan(begin);
    const auto full = window->bytes().first(plan.output_bytes());
    contenders.push_back({"nccl symmetric",
                          "nccl",
                          "shared",
                          shard,
                          full,
                          GatherPlan(flat, DataType::uint8, 0),
                          [=] { gather(window->bytes().data() + begin, full.data()); }});
  }
  if (plan.outer() > 1 && can_move(plan.row_bytes(0))) {
    const auto scratch = workspace.rank.allocate(plan.output_bytes());
    contenders.push_back({"nccl+permute",
                          "nccl",
                          "private",
                          workspace.source,
                          output,
                          plan,
                          [=, stream = workspace.rank.stream()] {
                            gather(source.data(), scratch.get());
                            permute_rows(scratch.get(),
                                         output.data(),
                                         plan.members(),
                                         plan.outer(),
                                         plan.row_bytes(0),
                                         stream);
                          }});
  }
  return contenders;
}

}  // namespace muster::tool

// NCCL, opened at run time: `muster` needs it neither to start nor to gather.
#include "bench/cuda/contenders.h"
#include "bench/cuda/move.h"
#include "exit_status.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <nccl.h>

#include <cstring>

namespace muster::tool {
namespace {

struct Library {
  decltype(&ncclGetVersion) version;
  decltype(&ncclGetUniqueId) unique_id;
  decltype(&ncclCommInitRank) init;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclGetErrorString) error_string;
};

template <typename Function>
bool look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

// Nothing where there is no NCCL.
const Library* library() {
  static const std::unique_ptr<const Library> loaded = []() -> std::unique_ptr<const Library> {
    void* handle = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return nullptr;
    auto nccl = std::make_unique<Library>();
    const bool complete = look_up(handle, "ncclGetVersion", nccl->version) &&
                          look_up(handle, "ncclGetUniqueId", nccl->unique_id) &&
                          look_up(handle, "ncclCommInitRank", nccl->init) &&
                          look_up(handle, "ncclCommAbort", nccl->abort) &&
                          look_up(handle, "ncclAllGather", nccl->all_gather) &&
                          look_up(handle, "ncclGetErrorString", nccl->error_string);
    return complete ? std::move(nccl) : nullptr;
  }();
  return loaded.get();
}

std::string version_of(const Library& nccl) {
  int version = 0;
  nccl.version(&version);
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

struct Nccl::Communicator {
  ncclComm_t handle = nullptr;
};

Nccl::Nccl(const GpuRank& rank) {
  const Library* nccl = library();
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
    note_ = "left out: nccl: there is no libnccl.so.2 here";
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
  if (communicator_) library()->abort(communicator_->handle);
}

std::vector<Contender> Nccl::contenders(const GpuWorkspace& workspace) const {
  const GatherPlan& plan = workspace.gather.plan;
  if (!communicator_ || !workspace.gather.equal() || plan.output_bytes() == 0) return {};
  const std::size_t bytes = workspace.source.size();
  const auto gather_to = [comm = communicator_->handle,
                          source = workspace.source,
                          stream = workspace.rank.stream()](std::byte* to) {
    const ncclResult_t status =
        library()->all_gather(source.data(), to, source.size(), ncclInt8, comm, stream);
    if (status != ncclSuccess) {
      throw Failure(fmt::format("bench: ncclAllGather: {}", library()->error_string(status)));
    }
  };
  const std::vector<Shape> flat(static_cast<std::size_t>(plan.members()),
                                Shape{static_cast<std::int64_t>(bytes)});
  const auto output = workspace.output;
  std::vector<Contender> contenders;
  contenders.push_back({"nccl",
                        "nccl",
                        "private",
                        workspace.source,
                        output,
                        GatherPlan(flat, DataType::uint8, 0),
                        [=] { gather_to(output.data()); }});
  if (plan.outer() > 1 && can_move(plan.row_bytes(0))) {
    const auto scratch = workspace.rank.allocate(plan.output_bytes());
    contenders.push_back({"nccl+permute",
                          "nccl",
                          "private",
                          workspace.source,
                          output,
                          plan,
                          [=, stream = workspace.rank.stream()] {
                            gather_to(scratch.get());
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

// Stands in for nccl.cpp in a build without NCCL's header.
#include "bench/cuda/contenders.h"

namespace muster::tool {

struct Nccl::Communicator {};

Nccl::Nccl(const GpuRank&) : note_("left out: nccl: this muster was built without NCCL's header") {}
Nccl::~Nccl() = default;

std::vector<Contender> Nccl::contenders(const GpuWorkspace&) const {
  return {};
}

}  // namespace muster::tool

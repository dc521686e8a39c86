// Stands in for channel.cpp in a build without NCCL.
#include "muster/error.h"
#include "transport/nccl/channel.h"

namespace muster::transport::nccl {

bool serves(Device) {
  return false;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): as every transport's
std::unique_ptr<Channel> open(std::shared_ptr<world::State>,
                              const Group&,
                              const CommunicatorOptions&) {
  throw Error(ErrorCode::unsupported, "this build of muster has no NCCL");
}

}  // namespace muster::transport::nccl

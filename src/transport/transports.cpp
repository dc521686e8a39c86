// The list of transports.
#include "muster/error.h"
#include "transport/cuda/channel.h"
#include "transport/nccl/channel.h"
#include "transport/shm/channel.h"
#include "transport/transport.h"

#include <fmt/format.h>

#include <utility>

namespace muster {

std::string_view to_string(Transport transport) noexcept {
  switch (transport) {
    case Transport::automatic:
      return "automatic";
    case Transport::shm:
      return "shm";
    case Transport::cuda:
      return "cuda";
    case Transport::nccl:
      return "nccl";
  }
  return "unknown";
}

namespace transport {

namespace {

struct Entry {
  Transport name;
  bool (*serves)(Device device);
  std::unique_ptr<Channel> (*open)(std::shared_ptr<world::State> state,
                                   const Group& group,
                                   const CommunicatorOptions& options);
};

constexpr Entry entries[] = {
    {Transport::shm, shm::serves, shm::open},
    {Transport::cuda, cuda::serves, cuda::open},
    {Transport::nccl, nccl::serves, nccl::open},
};

}  // namespace

std::vector<Transport> candidates(const CommunicatorOptions& options) {
  const bool any = options.transport == Transport::automatic;
  std::vector<Transport> found;
  for (const Entry& entry : entries) {
    if ((any || options.transport == entry.name) && entry.serves(options.device)) {
      found.push_back(entry.name);
    }
  }
  if (found.empty()) {
    throw Error(ErrorCode::unsupported,
                fmt::format("this build of muster has no transport {}for device {}",
                            any ? "" : fmt::format("{} ", to_string(options.transport)),
                            options.device.to_string()));
  }
  return found;
}

std::unique_ptr<Channel> open_channel(Transport transport,
                                      std::shared_ptr<world::State> state,
                                      const Group& group,
                                      const CommunicatorOptions& options) {
  for (const Entry& entry : entries) {
    if (entry.name == transport) return entry.open(std::move(state), group, options);
  }
  throw Error(ErrorCode::unsupported, "there is no such transport");
}

}  // namespace transport
}  // namespace muster

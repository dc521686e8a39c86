// The list of transports.
#include "muster/error.h"
#include "transport/cuda/channel.h"
#include "transport/shm/channel.h"
#include "transport/transport.h"

#include <fmt/format.h>

#include <utility>

namespace muster::transport {

namespace {

struct Transport {
  bool (*serves)(Device device);
  std::unique_ptr<Channel> (*open)(std::shared_ptr<world::State> state,
                                   const Group& group,
                                   const CommunicatorOptions& options);
};

constexpr Transport transports[] = {
    {shm::serves, shm::open},
    {cuda::serves, cuda::open},
};

}  // namespace

std::unique_ptr<Channel> open_channel(std::shared_ptr<world::State> state,
                                      const Group& group,
                                      const CommunicatorOptions& options) {
  for (const Transport& transport : transports) {
    if (transport.serves(options.device)) return transport.open(std::move(state), group, options);
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("this build of muster has no transport for device {}",
                          options.device.to_string()));
}

}  // namespace muster::transport

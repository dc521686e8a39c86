// The cuda transport: ranks on the GPUs of one machine, by stores into each other's memory.
#pragma once

#include "transport/transport.h"

#include <memory>

namespace muster::transport::cuda {

bool serves(Device device);

std::unique_ptr<Channel> open(std::shared_ptr<world::State> state,
                              const Group& group,
                              const CommunicatorOptions& options);

}  // namespace muster::transport::cuda

// The shm transport: ranks of one machine, through memory that they share.
#pragma once

#include "transport/transport.h"

#include <memory>

namespace muster::transport::shm {

bool serves(Device device);

std::unique_ptr<Channel> open(std::shared_ptr<world::State> state,
                              const Group& group,
                              const CommunicatorOptions& options);

}  // namespace muster::transport::shm

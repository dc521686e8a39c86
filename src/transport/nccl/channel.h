// The nccl transport: ranks on GPUs that need not reach each other's memory.
#pragma once

#include "transport/transport.h"

#include <memory>

namespace muster::transport::nccl {

bool serves(Device device);

std::unique_ptr<Channel> open(std::shared_ptr<world::State> state,
                              const Group& group,
                              const CommunicatorOptions& options);

}  // namespace muster::transport::nccl

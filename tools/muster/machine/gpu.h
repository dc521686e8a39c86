// The GPUs that this process sees.
#pragma once

#include <nlohmann/json.hpp>

namespace muster::tool {

// For `muster info`: {"built": false} in a build without CUDA; else the driver's and NCCL's
// versions (null: none), the devices, and which can reach which.
nlohmann::ordered_json gpu_facts();

}  // namespace muster::tool

// The GPUs that this process sees.
#pragma once

#include <nlohmann/json.hpp>

namespace muster::tool {

// For `muster info`: {"built": false} in a build without CUDA; else the driver's and NCCL's
// versions, or null and why there is none (…_trouble), the devices, and which can reach which.
nlohmann::ordered_json gpu_facts();

}  // namespace muster::tool

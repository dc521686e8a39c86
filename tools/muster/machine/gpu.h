// The GPUs that this process sees.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace muster::tool {

// For `muster info`: {"built": false} in a build without CUDA; else the driver's and NCCL's
// versions, or null and why there is none (…_trouble), the devices, and which can reach which.
nlohmann::ordered_json gpu_facts();

// Why nothing can run on a GPU here, if so.
std::optional<std::string> gpu_trouble();

}  // namespace muster::tool

// Stands in for gpu.cpp in a build without CUDA.
#include "machine/gpu.h"

namespace muster::tool {

nlohmann::ordered_json gpu_facts() {
  return {{"built", false}};
}

std::optional<std::string> gpu_trouble() {
  return "this muster was built without CUDA";
}

}  // namespace muster::tool

// The ONNX Runtime that `muster run model.onnx` would use.
#pragma once

#include <nlohmann/json.hpp>

namespace muster::tool {

// For `muster info`: {"built": false} in a build without it; else its version and muster's layer
// for it, or null and why there is none.
nlohmann::ordered_json onnxruntime_facts();

}  // namespace muster::tool

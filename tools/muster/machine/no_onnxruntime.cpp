// Stands in for onnxruntime.cpp in a build without ONNX Runtime.
#include "machine/onnxruntime.h"

namespace muster::tool {

nlohmann::ordered_json onnxruntime_facts() {
  return {{"built", false}};
}

}  // namespace muster::tool

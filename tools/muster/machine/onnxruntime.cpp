#include "machine/onnxruntime.h"

#include "exit_status.h"
#include "model/engine.h"

#include <filesystem>

namespace muster::tool {

nlohmann::ordered_json onnxruntime_facts() {
  nlohmann::ordered_json facts = {{"built", true}};
  try {
    facts["version"] = open_engine();
  } catch (const Failure& failure) {
    facts["version"] = nullptr;
    facts["version_trouble"] = failure.what();
  }
  try {
    facts["layer"] = std::filesystem::weakly_canonical(layer_library()).string();
  } catch (const Failure& failure) {
    facts["layer"] = nullptr;
    facts["layer_trouble"] = failure.what();
  }
  return facts;
}

}  // namespace muster::tool

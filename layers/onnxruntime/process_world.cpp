#include "process_world.h"

#include <cstdlib>

namespace muster::onnxruntime {

World& process_world() {
  static World& joined = *new World(World::join());
  return joined;
}

bool launched() {
  return std::getenv("MUSTER_RANK") != nullptr;
}

}  // namespace muster::onnxruntime

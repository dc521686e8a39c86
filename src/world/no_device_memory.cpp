// Stands in for cuda/memory.cpp in a build without CUDA.
#include "muster/error.h"
#include "world/device_memory.h"

namespace muster::world {

std::unique_ptr<DeviceMemory> make_device_memory(State&) {
  throw Error(ErrorCode::unsupported, "this build of muster has no CUDA");
}

}  // namespace muster::world

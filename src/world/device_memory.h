// Memory of one rank on devices other than the CPU.
#pragma once

#include "world/arena.h"

#include <memory>

namespace muster::world {

class State;

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // The arena on that device, made at its first use. Thread-safe. Throws invalid_argument for an
  // ordinal that there is not, unsupported, out_of_memory.
  virtual Arena& arena(int ordinal) = 0;
};

// In world/cuda/memory.cpp, or in world/no_device_memory.cpp where a build has no devices.
// Throws unsupported.
std::unique_ptr<DeviceMemory> make_device_memory(State& state);

}  // namespace muster::world

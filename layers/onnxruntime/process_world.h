// The world that this process is a rank of.
#pragma once

#include <muster/world.h>

namespace muster::onnxruntime {

// The one that the program has joined, or joined at the first call, which then waits for the other
// ranks to start. Every further call returns the same object. Throws what World::join() does, and
// may then be called again. Thread-safe.
//
// Never destroyed: the engine's allocations from it may outlive everything else in the process.
World& process_world();

// Did a launcher start this process?
bool launched();

}  // namespace muster::onnxruntime

// The world that this process is a rank of.
#pragma once

#include <muster/world.h>

namespace muster::onnxruntime {

// Joined at the first call, which waits for the other ranks to start. Every further call returns
// the same world, or throws the same Error. Thread-safe.
//
// Never destroyed: the engine's allocations from it may outlive everything else in the process.
World& process_world();

// Did a launcher start this process?
bool launched();

}  // namespace muster::onnxruntime

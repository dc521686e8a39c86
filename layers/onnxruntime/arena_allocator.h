// Memory for the engine's tensors that other ranks can reach.
#pragma once

#include "ort.h"

namespace muster::onnxruntime {

// Registers an allocator on World::allocate with the engine's environment, for tensors on the CPU,
// and has sessions with these options use it: their activations then lie in the arena, and gathers
// take one copy. Does nothing if the options say already whether to use the environment's
// allocators, if the environment has an allocator of the application's own or cannot be reached, or
// if this process is the only rank.
void use_arena_allocator(OrtSessionOptions& options);

// Does an address lie in the arena, as far as this allocator has seen it? Never throws.
bool in_arena(const void* data) noexcept;

}  // namespace muster::onnxruntime

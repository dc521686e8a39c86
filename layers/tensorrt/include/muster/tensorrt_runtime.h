/// @file
/// How AllGather layers in TensorRT engines find the other ranks, and what became of their gathers.
///
/// This is a library of its own, libmuster_tensorrt.so (CMake target muster::tensorrt), which
/// engines load as a plugin library. An engine's program that a launcher has started
/// (`muster run -n N program`) needs nothing of this: when its first execution context is made, the
/// layers join the world of its environment.
#pragma once

#include <muster/export.h>
#include <muster/world.h>

#include <memory>

namespace muster::tensorrt {

/// Layers of execution contexts that the calling thread makes from now on gather in this world,
/// rather than in the one of the process: for a program that has joined its world itself, or whose
/// threads are ranks. Null: the process's again. Local to the calling thread.
MUSTER_EXPORT void use_world(std::shared_ptr<World> world) noexcept;

/// The world that the calling thread's layers gather in. Joins the process's at the first call,
/// which waits for the other ranks to start; every further call returns the same one, or throws the
/// same Error. Thread-safe.
/// @throws Error as World::join().
MUSTER_EXPORT std::shared_ptr<World> current_world();

/// Throws the first failure, if any, of the layers that gather in the calling thread's world: on a
/// GPU a gather is only enqueued, and this is how it is learnt, once the stream is idle, that it
/// failed there. The next run of the same context returns it too. No context of that world may be
/// running in another thread.
/// @throws Error mismatch, timeout, peer_lost, out_of_memory, naming the layer.
MUSTER_EXPORT void check();

}  // namespace muster::tensorrt

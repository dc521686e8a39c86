/// @file
/// AllGather for a TensorRT network under construction, and memory for its tensors.
///
/// Needs TensorRT's headers, of the release that libmuster_tensorrt.so was built for. The engines
/// are loaded by programs that need neither this header nor this function: only the library, as a
/// plugin library (IPluginRegistry::loadLibrary, `trtexec --dynamicPlugins=`), or
/// initLibMusterPlugins().
#pragma once

#include <NvInfer.h>
#include <muster/device.h>
#include <muster/dtype.h>
#include <muster/export.h>
#include <muster/group.h>
#include <muster/tensorrt_runtime.h>
#include <muster/world.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace muster::tensorrt {

/// What a call of all_gather() may leave out.
struct AllGatherOptions {
  /// Of the layer; by default made from the tensor's name. Ranks find each other by it.
  std::string name{};
  /// Extents along gather_dim in group order, where sections are unequal; empty: all are equal.
  std::vector<std::int64_t> sizes{};
  /// Cast to this type before the gather and back after it, to send fewer bytes. A builder before
  /// TensorRT 10 needs its flag for the type (BuilderFlag::kFP16).
  std::optional<DataType> wire_type{};
  /// How long a gather, and the making of its communicator, may wait for the other ranks.
  std::chrono::milliseconds timeout = World::default_timeout;
  /// Execution contexts that are alive at the same time have one communicator in common for this
  /// layer, rather than one each: for contexts that all ranks run one after another, in the same
  /// order (of one engine or several, if the layer is the same in all). Saves control memory, and
  /// the making. Contexts that run at once, or in an order that may differ between ranks, must not
  /// share: they would exchange each other's bytes. After a failure, all that share must go before
  /// a new one can come.
  bool share_communicator = false;
};

/// Adds an AllGather of `tensor` to the end of `network`: each rank of `group` contributes its
/// `tensor`, and the result, which the network owns, is all of them in group order along
/// `gather_dim` (which may be negative). Its extent along gather_dim is the group's size times that
/// of `tensor`, or the sum of options.sizes; extents may be dynamic. For a `wire_type` other than
/// the tensor's own, a cast stands before the gather and one behind it.
///
/// Nothing communicates before a context of the serialized engine is made. The group, the sizes and
/// the layers' names must be the same on all ranks. Registers the layer's creators with TensorRT's
/// registry. Not to be called for one network by two threads at once. On an error the network is
/// unchanged, but that casts which TensorRT has added may stay.
///
/// @throws Error invalid_argument, naming the tensor, when its type cannot be gathered, it is a
///         scalar, gather_dim is outside its shape, `sizes` are not one for each member or do not
///         hold this rank's extent, the name is taken, or the timeout is not positive; system when
///         TensorRT refuses a layer, which its logger says more about.
MUSTER_EXPORT nvinfer1::ITensor& all_gather(nvinfer1::INetworkDefinition& network,
                                            nvinfer1::ITensor& tensor,
                                            const Group& group,
                                            int gather_dim = 0,
                                            const AllGatherOptions& options = {});

/// An allocator for IRuntime::setGpuAllocator() that takes memory from World::allocate, so that the
/// other ranks can write a gather's output, and read its section, where it lies: one copy instead
/// of two. The engine's weights lie there too. Where only the activations should, make a context
/// without device memory and give it a Buffer.
///
/// Must outlive the runtime's engines and contexts. Thread-safe. Memory that TensorRT gives back on
/// a stream is freed when the stream has got there, for which the allocator waits.
MUSTER_EXPORT std::unique_ptr<nvinfer1::IGpuAllocator> arena_allocator(std::shared_ptr<World> world,
                                                                       Device device);

}  // namespace muster::tensorrt

extern "C" {

/// Registers the layer's creators: AllGather, version 1, namespace `muster`. For programs that link
/// the library or load it by path. `logger` is an nvinfer1::ILogger*, or null. `plugin_namespace`
/// is another namespace to register in, or null. Returns false when TensorRT's registry refuses, or
/// when its library is not in the process. Safe to repeat.
MUSTER_EXPORT bool initLibMusterPlugins(void* logger, const char* plugin_namespace) noexcept;

/// As initLibMusterPlugins(), in namespace `tensorrt_llm` unless another is given: for programs
/// that load TensorRT-LLM's plugin library by path and ask for its AllGather.
MUSTER_EXPORT bool initTrtLlmPlugins(void* logger, const char* plugin_namespace) noexcept;
}

// What the adapter for a generation of TensorRT's interfaces (v2, v3) gives the rest of the layer.
#pragma once

#include "arena_memory.h"
#include "gatherer.h"
#include "settings.h"

#include <NvInfer.h>

#include <memory>

namespace muster::tensorrt {

// Adds the layer to a network, with its name. Null if TensorRT refuses.
nvinfer1::ITensor* add_layer(nvinfer1::INetworkDefinition& network,
                             nvinfer1::ITensor& section,
                             const Settings& settings);

// Registers a creator in a namespace, once. False if TensorRT refuses.
bool register_creator(nvinfer1::IPluginRegistry& registry, const char* plugin_namespace);

// The gatherer that layers with one sharing_key() have in common while any of them holds it.
// Throws Error.
std::shared_ptr<Gatherer> shared_gatherer(const Settings& settings, Device device);

std::unique_ptr<nvinfer1::IGpuAllocator> make_allocator(ArenaMemory memory);

}  // namespace muster::tensorrt

#include "../adapter.h"

#include "creator.h"
#include "plugin.h"

#include <cuda_runtime_api.h>

#include <utility>

namespace muster::tensorrt {

namespace {

class ArenaAllocator final : public nvinfer1::IGpuAsyncAllocator {
 public:
  explicit ArenaAllocator(ArenaMemory memory) : memory_(std::move(memory)) {}

  void* allocateAsync(std::uint64_t bytes,
                      std::uint64_t alignment,
                      nvinfer1::AllocatorFlags,
                      cudaStream_t) noexcept override {
    return memory_.allocate(bytes, alignment);
  }
  bool deallocateAsync(void* memory, cudaStream_t stream) noexcept override {
    cudaStreamSynchronize(stream);
    return memory_.free(memory);
  }

 private:
  ArenaMemory memory_;
};

}  // namespace

nvinfer1::ITensor* add_layer(nvinfer1::INetworkDefinition& network,
                             nvinfer1::ITensor& section,
                             const Settings& settings) {
  // The network keeps a clone.
  PluginV3 plugin(settings, nvinfer1::TensorRTPhase::kBUILD, own_namespace);
  nvinfer1::ITensor* input = &section;
  nvinfer1::IPluginV3Layer* layer = network.addPluginV3(&input, 1, nullptr, 0, plugin);
  if (layer == nullptr) return nullptr;
  layer->setName(settings.name.c_str());
  return layer->getOutput(0);
}

bool register_creator(nvinfer1::IPluginRegistry& registry, const char* plugin_namespace) {
  if (registry.getCreator(plugin_name, plugin_version, plugin_namespace) != nullptr) return true;
  // The registry keeps a pointer.
  auto& creator = *new CreatorV3(plugin_namespace);
  return registry.registerCreator(creator, plugin_namespace);
}

std::unique_ptr<nvinfer1::IGpuAllocator> make_allocator(ArenaMemory memory) {
  return std::make_unique<ArenaAllocator>(std::move(memory));
}

}  // namespace muster::tensorrt

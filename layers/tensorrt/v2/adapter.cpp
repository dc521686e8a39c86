#include "../adapter.h"

#include "creator.h"
#include "plugin.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace muster::tensorrt {

namespace {

class Destroy {
 public:
  void operator()(nvinfer1::IPluginV2* plugin) const { plugin->destroy(); }
};

// In releases that have streams for it, TensorRT has waited before it gives memory back.
class ArenaAllocator final : public nvinfer1::IGpuAllocator {
 public:
  explicit ArenaAllocator(ArenaMemory memory) : memory_(std::move(memory)) {}

  void* allocate(std::uint64_t bytes,
                 std::uint64_t alignment,
                 nvinfer1::AllocatorFlags) noexcept override {
    return memory_.allocate(bytes, alignment);
  }
  bool deallocate(void* memory) noexcept override {
    cudaDeviceSynchronize();  // cudaFree, in whose place this stands, waits too
    return memory_.free(memory);
  }
  void free(void* memory) noexcept override { deallocate(memory); }

 private:
  ArenaMemory memory_;
};

// getPluginCreator() would log an error where there is none.
bool has_creator(nvinfer1::IPluginRegistry& registry, std::string_view plugin_namespace) {
  std::int32_t count = 0;
  const auto* const* creators = registry.getPluginCreatorList(&count);
  return std::any_of(creators, creators + count, [&](const nvinfer1::IPluginCreator* creator) {
    return std::string_view(creator->getPluginName()) == plugin_name &&
           std::string_view(creator->getPluginVersion()) == plugin_version &&
           std::string_view(creator->getPluginNamespace()) == plugin_namespace;
  });
}

}  // namespace

nvinfer1::ITensor* add_layer(nvinfer1::INetworkDefinition& network,
                             nvinfer1::ITensor& section,
                             const Settings& settings) {
  // The network keeps a clone.
  const std::unique_ptr<nvinfer1::IPluginV2, Destroy> plugin(
      new PluginV2(settings, Origin::creator, own_namespace));
  nvinfer1::ITensor* input = &section;
  nvinfer1::IPluginV2Layer* layer = network.addPluginV2(&input, 1, *plugin);
  if (layer == nullptr) return nullptr;
  layer->setName(settings.name.c_str());
  nvinfer1::ITensor* output = layer->getOutput(0);
  // The bytes are the same, so of quantized elements the scale is too.
  if (section.dynamicRangeIsSet()) {
    output->setDynamicRange(section.getDynamicRangeMin(), section.getDynamicRangeMax());
  }
  return output;
}

bool register_creator(nvinfer1::IPluginRegistry& registry, const char* plugin_namespace) {
  if (has_creator(registry, plugin_namespace)) return true;
  // The registry keeps a pointer.
  auto& creator = *new CreatorV2(plugin_namespace);
  return registry.registerCreator(creator, plugin_namespace);
}

std::unique_ptr<nvinfer1::IGpuAllocator> make_allocator(ArenaMemory memory) {
  return std::make_unique<ArenaAllocator>(std::move(memory));
}

}  // namespace muster::tensorrt

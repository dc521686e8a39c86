#include "creator.h"

#include "../serialization.h"
#include "plugin.h"

#include <memory>
#include <span>
#include <utility>

namespace muster::tensorrt {

CreatorV2::CreatorV2(std::string plugin_namespace) : namespace_(std::move(plugin_namespace)) {}

const char* CreatorV2::getPluginName() const noexcept {
  return plugin_name;
}

const char* CreatorV2::getPluginVersion() const noexcept {
  return plugin_version;
}

const nvinfer1::PluginFieldCollection* CreatorV2::getFieldNames() noexcept {
  return &field_names();
}

nvinfer1::IPluginV2* CreatorV2::createPlugin(
    const char* name, const nvinfer1::PluginFieldCollection* fields) noexcept {
  nvinfer1::IPluginV2* plugin = nullptr;
  guarded(nullptr, [&] {
    plugin = std::make_unique<PluginV2>(
                 parse_settings(name, fields_of(*fields)), Origin::creator, namespace_)
                 .release();
  });
  return plugin;
}

nvinfer1::IPluginV2* CreatorV2::deserializePlugin(const char* name,
                                                  const void* data,
                                                  std::size_t length) noexcept {
  nvinfer1::IPluginV2* plugin = nullptr;
  guarded(nullptr, [&] {
    const std::span bytes(static_cast<const std::byte*>(data), length);
    plugin =
        std::make_unique<PluginV2>(deserialize(bytes, name), Origin::engine, namespace_).release();
  });
  return plugin;
}

void CreatorV2::setPluginNamespace(const char* plugin_namespace) noexcept {
  namespace_ = plugin_namespace;
}

}  // namespace muster::tensorrt

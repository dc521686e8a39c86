#include "creator.h"

#include "../serialization.h"
#include "plugin.h"

#include <muster/error.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace muster::tensorrt {

namespace {

Settings settings_of(const std::string& name,
                     const std::vector<Field>& fields,
                     nvinfer1::TensorRTPhase phase) {
  if (phase == nvinfer1::TensorRTPhase::kBUILD) return parse_settings(name, fields);
  if (fields.size() != 1 || fields[0].name != PluginV3::serialized_field ||
      fields[0].type != Field::text || fields[0].length < 0) {
    throw Error(ErrorCode::invalid_argument, "a serialized AllGather layer has an unknown format");
  }
  const std::span bytes(static_cast<const std::byte*>(fields[0].data),
                        static_cast<std::size_t>(fields[0].length));
  return deserialize(bytes, name);
}

}  // namespace

CreatorV3::CreatorV3(std::string plugin_namespace) : namespace_(std::move(plugin_namespace)) {}

const char* CreatorV3::getPluginName() const noexcept {
  return plugin_name;
}

const char* CreatorV3::getPluginVersion() const noexcept {
  return plugin_version;
}

const nvinfer1::PluginFieldCollection* CreatorV3::getFieldNames() noexcept {
  return &field_names();
}

nvinfer1::IPluginV3* CreatorV3::createPlugin(const char* name,
                                             const nvinfer1::PluginFieldCollection* fields,
                                             nvinfer1::TensorRTPhase phase) noexcept {
  nvinfer1::IPluginV3* plugin = nullptr;
  guarded(nullptr, [&] {
    plugin =
        std::make_unique<PluginV3>(settings_of(name, fields_of(*fields), phase), phase, namespace_)
            .release();
  });
  return plugin;
}

}  // namespace muster::tensorrt

// The creator of AllGather plugins for TensorRT 8.6 and 9.
#pragma once

#include <NvInfer.h>

#include <string>

namespace muster::tensorrt {

class CreatorV2 final : public nvinfer1::IPluginCreator {
 public:
  explicit CreatorV2(std::string plugin_namespace);

  const char* getPluginName() const noexcept override;
  const char* getPluginVersion() const noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override;
  nvinfer1::IPluginV2* createPlugin(
      const char* name, const nvinfer1::PluginFieldCollection* fields) noexcept override;
  nvinfer1::IPluginV2* deserializePlugin(const char* name,
                                         const void* data,
                                         std::size_t length) noexcept override;
  void setPluginNamespace(const char* plugin_namespace) noexcept override;
  const char* getPluginNamespace() const noexcept override { return namespace_.c_str(); }

 private:
  std::string namespace_;
};

}  // namespace muster::tensorrt

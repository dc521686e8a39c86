// The creator of AllGather plugins for TensorRT 10 and later.
#pragma once

#include <NvInfer.h>

#include <string>

namespace muster::tensorrt {

class CreatorV3 final : public nvinfer1::IPluginCreatorV3One {
 public:
  explicit CreatorV3(std::string plugin_namespace);

  const char* getPluginName() const noexcept override;
  const char* getPluginVersion() const noexcept override;
  const char* getPluginNamespace() const noexcept override { return namespace_.c_str(); }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override;
  nvinfer1::IPluginV3* createPlugin(const char* name,
                                    const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase phase) noexcept override;

 private:
  std::string namespace_;
};

}  // namespace muster::tensorrt

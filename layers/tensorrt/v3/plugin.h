// AllGather for TensorRT 10 and later: an IPluginV3 with its three capabilities.
#pragma once

#include "../engine.h"
#include "../gatherer.h"
#include "../settings.h"

#include <NvInfer.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace muster::tensorrt {

// Instances of the build phase, and their clones, never communicate: the builder runs them to time
// them, on one machine and at any moment.
class PluginV3 final : public nvinfer1::IPluginV3,
                       public nvinfer1::IPluginV3OneCore,
                       public nvinfer1::IPluginV3OneBuild,
                       public nvinfer1::IPluginV3OneRuntime {
 public:
  // The name of the one field of a serialized plugin.
  static constexpr const char* serialized_field = "serialized";

  PluginV3(Settings settings, nvinfer1::TensorRTPhase phase, std::string plugin_namespace);

  nvinfer1::IPluginCapability* getCapabilityInterface(
      nvinfer1::PluginCapabilityType type) noexcept override;
  PluginV3* clone() noexcept override;

  const char* getPluginName() const noexcept override { return plugin_name; }
  const char* getPluginVersion() const noexcept override { return plugin_version; }
  const char* getPluginNamespace() const noexcept override { return namespace_.c_str(); }

  std::int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs,
                               std::int32_t input_count,
                               const nvinfer1::DynamicPluginTensorDesc* outputs,
                               std::int32_t output_count) noexcept override;
  std::int32_t getOutputDataTypes(nvinfer1::DataType* output_types,
                                  std::int32_t outputs,
                                  const nvinfer1::DataType* input_types,
                                  std::int32_t inputs) const noexcept override;
  std::int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs,
                               std::int32_t input_count,
                               const nvinfer1::DimsExprs* shape_inputs,
                               std::int32_t shape_input_count,
                               nvinfer1::DimsExprs* outputs,
                               std::int32_t output_count,
                               nvinfer1::IExprBuilder& expressions) noexcept override;
  bool supportsFormatCombination(std::int32_t position,
                                 const nvinfer1::DynamicPluginTensorDesc* tensors,
                                 std::int32_t inputs,
                                 std::int32_t outputs) noexcept override;
  std::int32_t getNbOutputs() const noexcept override { return 1; }

  std::int32_t onShapeChange(const nvinfer1::PluginTensorDesc* inputs,
                             std::int32_t input_count,
                             const nvinfer1::PluginTensorDesc* outputs,
                             std::int32_t output_count) noexcept override;
  std::int32_t enqueue(const nvinfer1::PluginTensorDesc* input_descriptions,
                       const nvinfer1::PluginTensorDesc* output_descriptions,
                       const void* const* inputs,
                       void* const* outputs,
                       void* workspace,
                       cudaStream_t stream) noexcept override;
  PluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override;

 private:
  Settings settings_;
  nvinfer1::TensorRTPhase phase_;
  std::string namespace_;
  nvinfer1::IErrorRecorder* recorder_ = nullptr;  // the context's
  StandIn stand_in_;                              // of an instance that never communicates
  std::shared_ptr<Gatherer> gatherer_;            // of the runtime phase, in a context
  std::vector<std::byte> serialized_;             // what field_ points to
  nvinfer1::PluginField field_;
  nvinfer1::PluginFieldCollection fields_{};
};

}  // namespace muster::tensorrt

// AllGather for TensorRT 8.6 and 9: an IPluginV2DynamicExt.
#pragma once

#include "../engine.h"
#include "../gatherer.h"
#include "../settings.h"

#include <NvInfer.h>

#include <memory>
#include <string>

namespace muster::tensorrt {

// Where an instance comes from. The builder runs those of a creator, and their clones, to time
// them, on one machine and at any moment: they never communicate. Those out of a serialized engine
// do. Clones of a creator's instance that the builder has initialized are the contexts' of an
// engine that was not serialized: what it times, it has initialized itself (seen in 8.6).
enum class Origin { creator, engine, unserialized_engine };

class PluginV2 final : public nvinfer1::IPluginV2DynamicExt {
 public:
  PluginV2(Settings settings, Origin origin, std::string plugin_namespace);

  const char* getPluginType() const noexcept override { return plugin_name; }
  const char* getPluginVersion() const noexcept override { return plugin_version; }
  void setPluginNamespace(const char* plugin_namespace) noexcept override;
  const char* getPluginNamespace() const noexcept override { return namespace_.c_str(); }
  PluginV2* clone() const noexcept override;
  void destroy() noexcept override { delete this; }

  std::int32_t getNbOutputs() const noexcept override { return 1; }
  nvinfer1::DataType getOutputDataType(std::int32_t index,
                                       const nvinfer1::DataType* input_types,
                                       std::int32_t inputs) const noexcept override;
  nvinfer1::DimsExprs getOutputDimensions(std::int32_t output,
                                          const nvinfer1::DimsExprs* inputs,
                                          std::int32_t input_count,
                                          nvinfer1::IExprBuilder& expressions) noexcept override;
  bool supportsFormatCombination(std::int32_t position,
                                 const nvinfer1::PluginTensorDesc* tensors,
                                 std::int32_t inputs,
                                 std::int32_t outputs) noexcept override;
  void configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs,
                       std::int32_t input_count,
                       const nvinfer1::DynamicPluginTensorDesc* outputs,
                       std::int32_t output_count) noexcept override;

  std::size_t getSerializationSize() const noexcept override;
  void serialize(void* buffer) const noexcept override;

  std::int32_t initialize() noexcept override;
  void terminate() noexcept override { is_initialized_ = false; }
  void attachToContext(cudnnContext* cudnn,
                       cublasContext* cublas,
                       nvinfer1::IGpuAllocator* allocator) noexcept override;
  void detachFromContext() noexcept override { gatherer_.reset(); }
  std::size_t getWorkspaceSize(const nvinfer1::PluginTensorDesc* inputs,
                               std::int32_t input_count,
                               const nvinfer1::PluginTensorDesc* outputs,
                               std::int32_t output_count) const noexcept override;
  std::int32_t enqueue(const nvinfer1::PluginTensorDesc* input_descriptions,
                       const nvinfer1::PluginTensorDesc* output_descriptions,
                       const void* const* inputs,
                       void* const* outputs,
                       void* workspace,
                       cudaStream_t stream) noexcept override;

 private:
  void attach();

  Settings settings_;
  Origin origin_;
  bool is_initialized_ = false;
  std::string namespace_;
  StandIn stand_in_;                    // of an instance that never communicates
  std::shared_ptr<Gatherer> gatherer_;  // with origin engine, in a context
};

}  // namespace muster::tensorrt

#include "plugin.h"

#include "../serialization.h"

#include <muster/error.h>

#include <cstring>
#include <memory>
#include <utility>

namespace muster::tensorrt {

PluginV2::PluginV2(Settings settings, Origin origin, std::string plugin_namespace)
    : settings_(std::move(settings)), origin_(origin), namespace_(std::move(plugin_namespace)) {}

void PluginV2::setPluginNamespace(const char* plugin_namespace) noexcept {
  namespace_ = plugin_namespace;
}

PluginV2* PluginV2::clone() const noexcept {
  const Origin origin =
      is_initialized_ && origin_ == Origin::creator ? Origin::unserialized_engine : origin_;
  PluginV2* copy = nullptr;
  guarded(nullptr,
          [&] { copy = std::make_unique<PluginV2>(settings_, origin, namespace_).release(); });
  return copy;
}

std::int32_t PluginV2::initialize() noexcept {
  is_initialized_ = true;
  return 0;
}

nvinfer1::DataType PluginV2::getOutputDataType(std::int32_t,
                                               const nvinfer1::DataType* input_types,
                                               std::int32_t) const noexcept {
  return input_types[0];
}

nvinfer1::DimsExprs PluginV2::getOutputDimensions(std::int32_t,
                                                  const nvinfer1::DimsExprs* inputs,
                                                  std::int32_t,
                                                  nvinfer1::IExprBuilder& expressions) noexcept {
  nvinfer1::DimsExprs output{-1, {}};  // what TensorRT takes for a failure
  guarded(nullptr, [&] { output = output_dimensions(settings_, inputs[0], expressions); });
  return output;
}

bool PluginV2::supportsFormatCombination(std::int32_t position,
                                         const nvinfer1::PluginTensorDesc* tensors,
                                         std::int32_t,
                                         std::int32_t) noexcept {
  return supports(settings_, position, tensors);
}

void PluginV2::configurePlugin(const nvinfer1::DynamicPluginTensorDesc*,
                               std::int32_t,
                               const nvinfer1::DynamicPluginTensorDesc*,
                               std::int32_t) noexcept {}

std::size_t PluginV2::getSerializationSize() const noexcept {
  return muster::tensorrt::serialize(settings_).size();
}

void PluginV2::serialize(void* buffer) const noexcept {
  const auto bytes = muster::tensorrt::serialize(settings_);
  std::memcpy(buffer, bytes.data(), bytes.size());
}

void PluginV2::attach() {
  if (!gatherer_) gatherer_ = attached_gatherer(settings_);
}

void PluginV2::attachToContext(cudnnContext*, cublasContext*, nvinfer1::IGpuAllocator*) noexcept {
  if (origin_ == Origin::engine) guarded(nullptr, [&] { attach(); });
}

std::size_t PluginV2::getWorkspaceSize(const nvinfer1::PluginTensorDesc*,
                                       std::int32_t,
                                       const nvinfer1::PluginTensorDesc*,
                                       std::int32_t) const noexcept {
  return 0;
}

std::int32_t PluginV2::enqueue(const nvinfer1::PluginTensorDesc* input_descriptions,
                               const nvinfer1::PluginTensorDesc* output_descriptions,
                               const void* const* inputs,
                               void* const* outputs,
                               void*,
                               cudaStream_t stream) noexcept {
  const bool done = guarded(nullptr, [&] {
    const EngineTensor output = tensor_of(output_descriptions[0], outputs[0]);
    if (origin_ == Origin::creator) {
      stand_in_.run(settings_, output, stream);
      return;
    }
    if (origin_ == Origin::unserialized_engine) {
      throw Error(ErrorCode::invalid_argument,
                  label_of(settings_) +
                      " only gathers in an engine that has been serialized and deserialized");
    }
    attach();
    gatherer_->run(tensor_of(input_descriptions[0], inputs[0]), output, Stream(stream));
  });
  return done ? 0 : 1;
}

}  // namespace muster::tensorrt

#include "plugin.h"

#include "../serialization.h"

#include <muster/error.h>

#include <array>
#include <memory>
#include <utility>

namespace muster::tensorrt {

PluginV3::PluginV3(Settings settings, nvinfer1::TensorRTPhase phase, std::string plugin_namespace)
    : settings_(std::move(settings)), phase_(phase), namespace_(std::move(plugin_namespace)) {}

nvinfer1::IPluginCapability* PluginV3::getCapabilityInterface(
    nvinfer1::PluginCapabilityType type) noexcept {
  switch (type) {
    case nvinfer1::PluginCapabilityType::kCORE:
      return static_cast<nvinfer1::IPluginV3OneCore*>(this);
    case nvinfer1::PluginCapabilityType::kBUILD:
      return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
    case nvinfer1::PluginCapabilityType::kRUNTIME:
      return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
  }
  return nullptr;
}

PluginV3* PluginV3::clone() noexcept {
  PluginV3* copy = nullptr;
  guarded(recorder_,
          [&] { copy = std::make_unique<PluginV3>(settings_, phase_, namespace_).release(); });
  return copy;
}

std::int32_t PluginV3::configurePlugin(const nvinfer1::DynamicPluginTensorDesc*,
                                       std::int32_t,
                                       const nvinfer1::DynamicPluginTensorDesc*,
                                       std::int32_t) noexcept {
  return 0;
}

std::int32_t PluginV3::getOutputDataTypes(nvinfer1::DataType* output_types,
                                          std::int32_t outputs,
                                          const nvinfer1::DataType* input_types,
                                          std::int32_t inputs) const noexcept {
  const bool done = guarded(recorder_, [&] {
    if (inputs != 1 || outputs != 1) {
      throw Error(ErrorCode::invalid_argument,
                  label_of(settings_) + ": it has one input and one output");
    }
    output_types[0] = input_types[0];
  });
  return done ? 0 : 1;
}

std::int32_t PluginV3::getOutputShapes(const nvinfer1::DimsExprs* inputs,
                                       std::int32_t,
                                       const nvinfer1::DimsExprs*,
                                       std::int32_t,
                                       nvinfer1::DimsExprs* outputs,
                                       std::int32_t,
                                       nvinfer1::IExprBuilder& expressions) noexcept {
  const bool done = guarded(
      recorder_, [&] { outputs[0] = output_dimensions(settings_, inputs[0], expressions); });
  return done ? 0 : 1;
}

bool PluginV3::supportsFormatCombination(std::int32_t position,
                                         const nvinfer1::DynamicPluginTensorDesc* tensors,
                                         std::int32_t,
                                         std::int32_t) noexcept {
  const std::array both{tensors[0].desc, tensors[position].desc};
  return supports(settings_, position, both.data());
}

std::int32_t PluginV3::onShapeChange(const nvinfer1::PluginTensorDesc*,
                                     std::int32_t,
                                     const nvinfer1::PluginTensorDesc*,
                                     std::int32_t) noexcept {
  const bool done = guarded(recorder_, [&] {
    if (gatherer_) gatherer_->meet();
  });
  return done ? 0 : 1;
}

std::int32_t PluginV3::enqueue(const nvinfer1::PluginTensorDesc* input_descriptions,
                               const nvinfer1::PluginTensorDesc* output_descriptions,
                               const void* const* inputs,
                               void* const* outputs,
                               void*,
                               cudaStream_t stream) noexcept {
  const bool done = guarded(recorder_, [&] {
    const EngineTensor output = tensor_of(output_descriptions[0], outputs[0]);
    if (phase_ == nvinfer1::TensorRTPhase::kBUILD) {
      stand_in_.run(settings_, output, stream);
      return;
    }
    if (!gatherer_) {
      throw Error(ErrorCode::invalid_argument,
                  label_of(settings_) + ": it has not been attached to an execution context");
    }
    gatherer_->run(tensor_of(input_descriptions[0], inputs[0]), output, Stream(stream));
  });
  return done ? 0 : 1;
}

PluginV3* PluginV3::attachToContext(nvinfer1::IPluginResourceContext* context) noexcept {
  std::unique_ptr<PluginV3> attached(clone());
  if (!attached) return nullptr;
  attached->recorder_ = context->getErrorRecorder();
  if (phase_ == nvinfer1::TensorRTPhase::kBUILD) return attached.release();
  const bool done =
      guarded(attached->recorder_, [&] { attached->gatherer_ = attached_gatherer(settings_); });
  return done ? attached.release() : nullptr;
}

const nvinfer1::PluginFieldCollection* PluginV3::getFieldsToSerialize() noexcept {
  const bool done = guarded(recorder_, [&] {
    serialized_ = serialize(settings_);
    field_ = nvinfer1::PluginField(serialized_field,
                                   serialized_.data(),
                                   nvinfer1::PluginFieldType::kCHAR,
                                   static_cast<std::int32_t>(serialized_.size()));
    fields_ = {1, &field_};
  });
  return done ? &fields_ : nullptr;
}

}  // namespace muster::tensorrt

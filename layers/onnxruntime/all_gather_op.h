// The operator as the engine's registry knows it.
#pragma once

#include "all_gather_kernel.h"

#include <utility>

namespace muster::onnxruntime {

// Version 1 of AllGather: one tensor in, one of the same type out. Immutable once registered, and
// never destroyed: sessions refer to it.
class AllGatherOp : public Ort::CustomOpBase<AllGatherOp, AllGatherKernel, true> {
 public:
  AllGatherOp(Dialect dialect, SessionSettings settings);

  Dialect dialect() const noexcept { return dialect_; }
  const SessionSettings& settings() const noexcept { return settings_; }

  // The rest is called by the engine.
  const char* GetName() const { return "AllGather"; }
  std::size_t GetInputTypeCount() const { return 1; }
  std::size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetInputType(std::size_t) const { return any_type; }
  ONNXTensorElementDataType GetOutputType(std::size_t) const { return any_type; }
  OrtStatus* CreateKernelV2(const OrtApi& api, const OrtKernelInfo* info, void** kernel) const;

 private:
  static constexpr auto any_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;

  Dialect dialect_;
  SessionSettings settings_;
};

}  // namespace muster::onnxruntime

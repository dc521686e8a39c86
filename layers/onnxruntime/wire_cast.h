// Casts to the type in which a tensor travels, and back.
#pragma once

#include "ort.h"

namespace muster::onnxruntime {

// The engine's own Cast operator from one type to another. One thread uses it at a time.
class WireCast {
 public:
  // Throws Error unsupported when the engine has no such cast.
  WireCast(const OrtKernelInfo* info, ONNXTensorElementDataType from, ONNXTensorElementDataType to);

  // Both values have the same shape.
  void operator()(const OrtKernelContext* context, const OrtValue* from, OrtValue* to) const;

 private:
  Ort::Op cast_;
};

}  // namespace muster::onnxruntime

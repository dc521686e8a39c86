#include "all_gather_op.h"

#include "shape_inference.h"
#include "status.h"

namespace muster::onnxruntime {

AllGatherOp::AllGatherOp(Dialect dialect, SessionSettings settings)
    : dialect_(dialect), settings_(std::move(settings)) {
  version = api_version;
  // Not by the base class's own way, which would go through Ort::ShapeInferContext.
  InferOutputShapeFn = [](const OrtCustomOp* op, OrtShapeInferContext* context) {
    return guarded(
        "", [&] { infer_output_shape(*context, static_cast<const AllGatherOp*>(op)->dialect()); });
  };
}

// The engine puts no name in front of what a constructor throws.
OrtStatus* AllGatherOp::CreateKernelV2(const OrtApi&,
                                       const OrtKernelInfo* info,
                                       void** kernel) const {
  std::string label = operator_name(dialect_);
  OrtStatus* unnamed = guarded("", [&] { label = label_of(info, dialect_); });
  if (unnamed != nullptr) return unnamed;
  return guarded(label + ": ", [&] { *kernel = new AllGatherKernel(info, dialect_, settings_); });
}

}  // namespace muster::onnxruntime

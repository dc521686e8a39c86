#include "shape_inference.h"

#include "process_world.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace muster::onnxruntime {

namespace {

// The engine's C interface throughout: Ort::ShapeInferContext drops the symbolic names, and sets
// the type to float unless it is told otherwise.
struct Release {
  void operator()(OrtTensorTypeAndShapeInfo* info) const {
    Ort::GetApi().ReleaseTensorTypeAndShapeInfo(info);
  }
};
using Info = std::unique_ptr<OrtTensorTypeAndShapeInfo, Release>;

struct TypeAndShape {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<std::int64_t> extents;  // -1: not known
  std::vector<std::string> names;     // empty: none
};

TypeAndShape input_of(const OrtShapeInferContext& context) {
  const OrtApi& api = Ort::GetApi();
  OrtTensorTypeAndShapeInfo* info = nullptr;  // belongs to the context
  Ort::ThrowOnError(api.ShapeInferContext_GetInputTypeShape(&context, 0, &info));
  TypeAndShape input;
  Ort::ThrowOnError(api.GetTensorElementType(info, &input.type));
  std::size_t dimensions = 0;
  Ort::ThrowOnError(api.GetDimensionsCount(info, &dimensions));
  std::vector<const char*> names(dimensions);  // belong to the context
  input.extents.resize(dimensions);
  Ort::ThrowOnError(api.GetDimensions(info, input.extents.data(), dimensions));
  Ort::ThrowOnError(api.GetSymbolicDimensions(info, names.data(), dimensions));
  for (const char* name : names) input.names.emplace_back(name == nullptr ? "" : name);
  return input;
}

// The engine would take an extent that is neither known nor named for one of -1; and what has one
// name has one extent.
std::string fresh_name() {
  static std::atomic<int> names = 0;
  return fmt::format("muster_unknown_{}", ++names);
}

void set_output(OrtShapeInferContext& context, const TypeAndShape& output) {
  const OrtApi& api = Ort::GetApi();
  std::vector<const char*> names;
  for (const std::string& name : output.names) names.push_back(name.c_str());
  OrtTensorTypeAndShapeInfo* made = nullptr;
  Ort::ThrowOnError(api.CreateTensorTypeAndShapeInfo(&made));
  const Info info(made);
  Ort::ThrowOnError(api.SetTensorElementType(made, output.type));
  Ort::ThrowOnError(api.SetDimensions(made, output.extents.data(), output.extents.size()));
  Ort::ThrowOnError(api.SetSymbolicDimensions(made, names.data(), names.size()));
  Ort::ThrowOnError(api.ShapeInferContext_SetOutputTypeShape(&context, 0, made));
}

}  // namespace

void infer_output_shape(OrtShapeInferContext& context, Dialect dialect) {
  const Attributes attributes =
      parse_attributes(InferenceAttributes(&context), dialect, process_world());
  TypeAndShape tensor = input_of(context);
  const auto dimensions = static_cast<int>(tensor.extents.size());
  const int dim = attributes.gather_dim + (attributes.gather_dim < 0 ? dimensions : 0);
  if (dim < 0 || dim >= dimensions) return;  // Compute says so

  const auto& sizes = attributes.sizes;
  std::int64_t& extent = tensor.extents[static_cast<std::size_t>(dim)];
  std::string& name = tensor.names[static_cast<std::size_t>(dim)];
  if (!sizes.empty()) {
    extent = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
    name.clear();
  } else if (extent >= 0) {
    if (__builtin_mul_overflow(extent, attributes.group.size(), &extent)) return;
  } else if (!name.empty() && attributes.group.size() > 1) {
    name = fmt::format("{}*{}", attributes.group.size(), name);
  }
  for (std::size_t i = 0; i < tensor.names.size(); ++i) {
    if (tensor.extents[i] < 0 && tensor.names[i].empty()) tensor.names[i] = fresh_name();
  }
  set_output(context, tensor);
}

}  // namespace muster::onnxruntime

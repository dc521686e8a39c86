#include "element_type.h"

#include <fmt/format.h>
#include <muster/error.h>

#include <algorithm>
#include <array>
#include <utility>

namespace muster::onnxruntime {

namespace {

// In the engine since 1.23, with the number that ONNX gives it.
constexpr auto float4_e2m1 = static_cast<ONNXTensorElementDataType>(23);

// The variants of 8-bit floats without negative zero are bytes like any: muster does not look into
// elements. The first of two pairs with one muster type is the one that its name stands for.
constexpr std::array types{
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, DataType::bool8),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, DataType::int8),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, DataType::int16),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, DataType::int32),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, DataType::int64),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, DataType::uint8),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, DataType::uint16),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, DataType::uint32),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, DataType::uint64),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, DataType::float16),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, DataType::bfloat16),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, DataType::float32),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, DataType::float64),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN, DataType::float8_e4m3),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ, DataType::float8_e4m3),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2, DataType::float8_e5m2),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ, DataType::float8_e5m2),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64, DataType::complex64),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX128, DataType::complex128),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4, DataType::int4),
    std::pair(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4, DataType::uint4),
    std::pair(float4_e2m1, DataType::float4_e2m1),
};

}  // namespace

DataType to_dtype(ONNXTensorElementDataType type) {
  const auto* found = std::find_if(
      types.begin(), types.end(), [&](const auto& pair) { return pair.first == type; });
  if (found != types.end()) return found->second;
  throw Error(
      ErrorCode::unsupported,
      type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING
          ? "strings cannot be gathered, only elements of a fixed size"
          : fmt::format("elements of ONNX type {} cannot be gathered", static_cast<int>(type)));
}

ONNXTensorElementDataType element_type_of(const std::string& name) {
  const DataType dtype = parse_dtype(name);
  const auto* found = std::find_if(
      types.begin(), types.end(), [&](const auto& pair) { return pair.second == dtype; });
  if (found != types.end()) return found->first;
  throw Error(ErrorCode::invalid_argument, "this engine has no type " + name);
}

}  // namespace muster::onnxruntime

#include "model/value_type.h"

#include "exit_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace muster::tool {
namespace {

constexpr std::array types{
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, "bool", "b1", 1},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, "int8", "i1", 1},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, "int16", "i2", 2},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, "int32", "i4", 4},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, "int64", "i8", 8},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, "uint8", "u1", 1},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, "uint16", "u2", 2},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, "uint32", "u4", 4},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, "uint64", "u8", 8},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, "float16", "f2", 2},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, "float32", "f4", 4},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, "float64", "f8", 8},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64, "complex64", "c8", 8},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX128, "complex128", "c16", 16},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, "bfloat16", "u2", 2},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN, "float8_e4m3fn", "u1", 1},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ, "float8_e4m3fnuz", "u1", 1},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2, "float8_e5m2", "u1", 1},
    ValueType{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ, "float8_e5m2fnuz", "u1", 1},
};

const ValueType* find(ONNXTensorElementDataType type) {
  const auto* found =
      std::find_if(types.begin(), types.end(), [&](const ValueType& t) { return t.type == type; });
  return found == types.end() ? nullptr : found;
}

}  // namespace

std::string type_name(ONNXTensorElementDataType type) {
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) return "string";
  const ValueType* found = find(type);
  return found == nullptr ? fmt::format("ONNX type {}", int{type}) : found->name;
}

const ValueType& value_type(ONNXTensorElementDataType type, const std::string& tensor) {
  if (const ValueType* found = find(type)) return *found;
  throw Failure(fmt::format(
      "run: '{}' has elements of {}, which .npy files cannot hold", tensor, type_name(type)));
}

}  // namespace muster::tool

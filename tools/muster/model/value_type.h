// Element types: the engine's, by their names and as numpy's files have them.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <string>

namespace muster::tool {

struct ValueType {
  ONNXTensorElementDataType type;
  const char* name;  // "bfloat16"
  const char* npy;   // "u2": where numpy lacks a type, the integer of the same bits
  std::size_t bytes;
};

// "float32", also of a type that no file can hold.
std::string type_name(ONNXTensorElementDataType type);

// Throws Failure, naming the tensor, for a type that no file can hold.
const ValueType& value_type(ONNXTensorElementDataType type, const std::string& tensor);

}  // namespace muster::tool

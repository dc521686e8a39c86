// The engine's element types and muster's.
#pragma once

#include "ort.h"

#include <muster/dtype.h>

#include <string>

namespace muster::onnxruntime {

// Throws Error unsupported for types that are not numbers of a fixed size, such as strings.
DataType to_dtype(ONNXTensorElementDataType type);

// Throws Error invalid_argument for a name that is none of muster's types, or one of a type that
// the engine does not have.
ONNXTensorElementDataType element_type_of(const std::string& name);

}  // namespace muster::onnxruntime

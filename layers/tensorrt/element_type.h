// TensorRT's element types, by the numbers that its binary interface gives them, and muster's.
#pragma once

#include <muster/dtype.h>

#include <cstdint>
#include <optional>
#include <string>

namespace muster::tensorrt {

// The value of an nvinfer1::DataType; which of them a release has, its headers say.
using TypeId = std::int32_t;

// The type of muster's that has elements of that size, if muster can gather them.
std::optional<DataType> dtype_of(TypeId type) noexcept;

// Do TensorRT's plugins take tensors of such a type? "DataType:kBOOL and DataType::kUINT8 are not
// supported": NvInferRuntime.h, IPluginV2Ext and IPluginV3OneBuild, in 8.6 to 11.1.
bool is_for_plugins(TypeId type) noexcept;

// As dtype_of(). Throws Error unsupported for types that cannot be gathered.
DataType to_dtype(TypeId type);

// The number of a type of muster's. Throws Error invalid_argument for one that TensorRT lacks.
TypeId type_id_of(DataType dtype);

// "float16", or "number 42".
std::string type_name(TypeId type);

}  // namespace muster::tensorrt

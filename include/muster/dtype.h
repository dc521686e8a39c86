/// @file
/// Element types. muster moves bytes and never converts: a type is a size and a name to compare.
#pragma once

#include <muster/export.h>

#include <cstdint>
#include <string_view>

namespace muster {

/// Element type of a tensor. The numbers travel between ranks and are never reused.
enum class DataType : std::uint8_t {
  bool8 = 1,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,      ///< IEEE 754 binary16
  bfloat16,     ///< upper half of binary32
  float32,      ///< IEEE 754 binary32
  float64,      ///< IEEE 754 binary64
  float8_e4m3,  ///< OCP 8-bit floating point specification, E4M3
  float8_e5m2,  ///< OCP 8-bit floating point specification, E5M2
  complex64,    ///< two float32
  complex128,   ///< two float64
  int4,         ///< two elements a byte; gathered only where rows are whole bytes
  uint4,        ///< two elements a byte; gathered only where rows are whole bytes
  float4_e2m1,  ///< OCP microscaling formats, E2M1; gathered only where rows are whole bytes
};

/// Size of one element in bits (4 to 128), or 0 for a value outside the enumeration.
MUSTER_EXPORT int bits(DataType dtype) noexcept;

/// The name as written in the enumeration ("bfloat16"), or "unknown".
MUSTER_EXPORT std::string_view to_string(DataType dtype) noexcept;

/// The type of that name.
/// @throws Error invalid_argument, listing the names, when there is none.
MUSTER_EXPORT DataType parse_dtype(std::string_view name);

}  // namespace muster

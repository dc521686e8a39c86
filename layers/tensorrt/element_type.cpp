#include "element_type.h"

#include <fmt/format.h>
#include <muster/error.h>

#include <algorithm>
#include <array>
#include <utility>

namespace muster::tensorrt {

namespace {

// muster does not look into elements: a scale of exponents only (E8M0) is a byte like any.
constexpr std::array<std::pair<TypeId, DataType>, 12> types{{
    {0, DataType::float32},
    {1, DataType::float16},
    {2, DataType::int8},
    {3, DataType::int32},
    {4, DataType::bool8},
    {5, DataType::uint8},
    {6, DataType::float8_e4m3},
    {7, DataType::bfloat16},
    {8, DataType::int64},
    {9, DataType::int4},
    {10, DataType::float4_e2m1},
    {11, DataType::uint8},
}};

}  // namespace

std::optional<DataType> dtype_of(TypeId type) noexcept {
  const auto* found = std::find_if(
      types.begin(), types.end(), [&](const auto& pair) { return pair.first == type; });
  return found == types.end() ? std::nullopt : std::optional(found->second);
}

bool is_for_plugins(TypeId type) noexcept {
  constexpr TypeId bool8 = 4;
  constexpr TypeId uint8 = 5;
  return type != bool8 && type != uint8;
}

DataType to_dtype(TypeId type) {
  if (const auto dtype = dtype_of(type)) return *dtype;
  throw Error(ErrorCode::unsupported,
              fmt::format("elements of TensorRT type {} cannot be gathered", type));
}

TypeId type_id_of(DataType dtype) {
  const auto* found = std::find_if(
      types.begin(), types.end(), [&](const auto& pair) { return pair.second == dtype; });
  if (found != types.end()) return found->first;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("TensorRT has no type {}", to_string(dtype)));
}

std::string type_name(TypeId type) {
  const auto dtype = dtype_of(type);
  return dtype ? std::string(to_string(*dtype)) : fmt::format("number {}", type);
}

}  // namespace muster::tensorrt

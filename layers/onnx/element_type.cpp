#include <muster/onnx.h>

#include <algorithm>
#include <array>
#include <utility>

namespace muster::onnx {
namespace {

using ::onnx::TensorProto;

constexpr std::array types{
    std::pair{DataType::bool8, TensorProto::BOOL},
    std::pair{DataType::int8, TensorProto::INT8},
    std::pair{DataType::int16, TensorProto::INT16},
    std::pair{DataType::int32, TensorProto::INT32},
    std::pair{DataType::int64, TensorProto::INT64},
    std::pair{DataType::uint8, TensorProto::UINT8},
    std::pair{DataType::uint16, TensorProto::UINT16},
    std::pair{DataType::uint32, TensorProto::UINT32},
    std::pair{DataType::uint64, TensorProto::UINT64},
    std::pair{DataType::float16, TensorProto::FLOAT16},
    std::pair{DataType::bfloat16, TensorProto::BFLOAT16},
    std::pair{DataType::float32, TensorProto::FLOAT},
    std::pair{DataType::float64, TensorProto::DOUBLE},
    std::pair{DataType::float8_e4m3, TensorProto::FLOAT8E4M3FN},
    std::pair{DataType::float8_e5m2, TensorProto::FLOAT8E5M2},
    std::pair{DataType::complex64, TensorProto::COMPLEX64},
    std::pair{DataType::complex128, TensorProto::COMPLEX128},
    std::pair{DataType::int4, TensorProto::INT4},
    std::pair{DataType::uint4, TensorProto::UINT4},
    std::pair{DataType::float4_e2m1, TensorProto::FLOAT4E2M1},
};

}  // namespace

std::optional<DataType> dtype_of(int onnx_type) noexcept {
  const auto found = std::ranges::find_if(types, [&](auto& t) { return t.second == onnx_type; });
  if (found == types.end()) return std::nullopt;
  return found->first;
}

int onnx_type_of(DataType dtype) noexcept {
  const auto found = std::ranges::find_if(types, [&](auto& t) { return t.first == dtype; });
  return found == types.end() ? TensorProto::UNDEFINED : found->second;
}

bool can_gather(DataType dtype) noexcept {
  return bits(dtype) >= 8 && dtype != DataType::complex64 && dtype != DataType::complex128;
}

}  // namespace muster::onnx

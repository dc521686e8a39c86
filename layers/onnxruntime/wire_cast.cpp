#include "wire_cast.h"

#include <fmt/format.h>
#include <muster/error.h>

#include <array>
#include <cstdint>

namespace muster::onnxruntime {

namespace {

// The first version of Cast with all types that have a name here.
constexpr int cast_version = 19;

Ort::Op make_cast(const OrtKernelInfo* info,
                  ONNXTensorElementDataType from,
                  ONNXTensorElementDataType to) {
  std::array names{"T1", "T2"};
  const std::array types{from, to};
  const auto target = static_cast<std::int64_t>(to);  // the numbers of ONNX's own enumeration
  const Ort::OpAttr attribute("to", &target, 1, ORT_OP_ATTR_INT);
  const std::array<const OrtOpAttr*, 1> attributes{attribute};
  OrtOp* op = nullptr;
  const Ort::Status status(Ort::GetApi().CreateOp(info,
                                                  "Cast",
                                                  "",
                                                  cast_version,
                                                  names.data(),
                                                  types.data(),
                                                  static_cast<int>(types.size()),
                                                  attributes.data(),
                                                  static_cast<int>(attributes.size()),
                                                  1,
                                                  1,
                                                  &op));
  if (!status.IsOK()) {
    throw Error(ErrorCode::unsupported,
                fmt::format("the engine cannot cast ONNX type {} to {} for 'wire_type': {}",
                            static_cast<int>(from),
                            static_cast<int>(to),
                            status.GetErrorMessage()));
  }
  return Ort::Op(op);
}

}  // namespace

WireCast::WireCast(const OrtKernelInfo* info,
                   ONNXTensorElementDataType from,
                   ONNXTensorElementDataType to)
    : cast_(make_cast(info, from, to)) {}

void WireCast::operator()(const OrtKernelContext* context,
                          const OrtValue* from,
                          OrtValue* to) const {
  const OrtOp* op = cast_;
  Ort::ThrowOnError(Ort::GetApi().InvokeOp(context, op, &from, 1, &to, 1));
}

}  // namespace muster::onnxruntime

// ONNX Runtime's interface, as much of it as every version since 1.21 has.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>

namespace muster::onnxruntime {

// What is asked of the engine, whatever version's headers this is built with: a library of a later
// version has all of it.
inline constexpr std::uint32_t api_version = 21;
static_assert(ORT_API_VERSION >= api_version);

}  // namespace muster::onnxruntime

// ONNX Runtime, opened at run time, and muster's layer for it.
#pragma once

#include <muster/onnxruntime.h>

#include <filesystem>
#include <string>

namespace muster::tool {

// What is asked of the engine: every version since 1.21 has it.
inline constexpr unsigned engine_api_version = 21;

// Opens the library that MUSTER_ONNXRUNTIME names; otherwise the one that muster was built for, or
// whichever the system has. Initializes the engine's C++ classes. Returns its version.
// Throws Failure when there is none, or when it is too old.
std::string open_engine();

// libmuster_onnxruntime.so, which lies where this program was built or installed.
// Throws Failure when it is not there.
std::filesystem::path layer_library();

// Once a session has loaded the layer.
MusterOnnxRuntimeStatistics layer_statistics();

}  // namespace muster::tool

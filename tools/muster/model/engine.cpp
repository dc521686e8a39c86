#include "model/engine.h"

#include "exit_status.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <onnxruntime_cxx_api.h>

#include <cstdlib>
#include <vector>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> candidates() {
  if (const char* named = std::getenv("MUSTER_ONNXRUNTIME")) return {named};
  return {MUSTER_ONNXRUNTIME_LIBRARY, "libonnxruntime.so.1"};
}

void* open_library() {
  std::string complaints;
  for (const std::string& library : candidates()) {
    if (library.empty()) continue;
    if (void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    complaints += fmt::format("{} {}", complaints.empty() ? "" : ";", ::dlerror());
  }
  throw Failure("run: no ONNX Runtime (MUSTER_ONNXRUNTIME names another library):" + complaints);
}

}  // namespace

std::string open_engine() {
  using GetApiBase = const OrtApiBase* (*)();
  void* library = open_library();  // stays open
  const auto get_base = reinterpret_cast<GetApiBase>(::dlsym(library, "OrtGetApiBase"));
  if (get_base == nullptr) throw Failure("run: that library is no ONNX Runtime");
  const OrtApiBase* base = get_base();
  const OrtApi* api = base->GetApi(engine_api_version);
  if (api == nullptr) {
    throw Failure(fmt::format("run: this is ONNX Runtime {}; 1.{} or later is needed",
                              base->GetVersionString(),
                              engine_api_version));
  }
  Ort::InitApi(api);
  return base->GetVersionString();
}

fs::path layer_library() {
  const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path();
  for (const char* place : {MUSTER_LAYER_FROM_BUILD, MUSTER_LAYER_FROM_BIN}) {
    if (fs::exists(folder / place)) return folder / place;
  }
  throw Failure("run: libmuster_onnxruntime.so is not installed");
}

MusterOnnxRuntimeStatistics layer_statistics() {
  using Fill = void (*)(MusterOnnxRuntimeStatistics*);
  static const auto fill = reinterpret_cast<Fill>(::dlsym(
      ::dlopen(layer_library().c_str(), RTLD_NOW | RTLD_NOLOAD), "muster_onnxruntime_statistics"));
  MusterOnnxRuntimeStatistics statistics{};
  if (fill != nullptr) fill(&statistics);
  return statistics;
}

}  // namespace muster::tool

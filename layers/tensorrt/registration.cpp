// Registering the creators, for programs that do not have TensorRT load the library.
#include "adapter.h"
#include "engine.h"

#include <muster/tensorrt.h>

namespace {

bool register_in(void* logger, const char* plugin_namespace, const char* otherwise) noexcept {
  namespace trt = muster::tensorrt;
  if (logger != nullptr) trt::use_logger(static_cast<nvinfer1::ILogger*>(logger));
  const bool named = plugin_namespace != nullptr && *plugin_namespace != '\0';
  nvinfer1::IPluginRegistry* registry = trt::registry();
  bool done = false;
  if (registry == nullptr) return false;
  trt::guarded(nullptr, [&] {
    done = trt::register_creator(*registry, named ? plugin_namespace : otherwise);
  });
  return done;
}

}  // namespace

bool initLibMusterPlugins(void* logger, const char* plugin_namespace) noexcept {
  return register_in(logger, nullptr, muster::tensorrt::own_namespace) &&
         register_in(nullptr, plugin_namespace, muster::tensorrt::own_namespace);
}

bool initTrtLlmPlugins(void* logger, const char* plugin_namespace) noexcept {
  return register_in(logger, nullptr, muster::tensorrt::own_namespace) &&
         register_in(nullptr, plugin_namespace, muster::tensorrt::old_namespace);
}

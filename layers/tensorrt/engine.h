// What the two adapters share: TensorRT's own library, as far as it is found at run time, and how
// failures get there.
#pragma once

#include "gatherer.h"
#include "settings.h"

#include <NvInferRuntime.h>

#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace muster::tensorrt {

inline constexpr const char* plugin_name = "AllGather";
inline constexpr const char* plugin_version = "1";
inline constexpr const char* own_namespace = "muster";
inline constexpr const char* old_namespace = "tensorrt_llm";

// TensorRT's registry and logger: null where its library is not in the process. The layer's own
// library is not linked with it.
nvinfer1::IPluginRegistry* registry() noexcept;
nvinfer1::ILogger* logger() noexcept;

// Take the place of what logger() finds. They must outlive all plugins. A finder is asked each
// time: TensorRT hands it over when it loads the library, and may have no logger yet.
void use_logger(nvinfer1::ILogger* logger) noexcept;
void use_logger_of(nvinfer1::ILoggerFinder* finder) noexcept;

// Gives an error's text to the logger and to the recorder (null: the registry's, if it has one).
void report(const std::exception& error, nvinfer1::IErrorRecorder* recorder) noexcept;

// Calls `function`, and reports what it throws; returns whether it returned.
template <typename Function>
bool guarded(nvinfer1::IErrorRecorder* recorder, const Function& function) noexcept {
  try {
    function();
    return true;
  } catch (const std::exception& error) {
    report(error, recorder);
    return false;
  }
}

// The CUDA device of the calling thread. Throws Error unsupported without one.
Device current_device();

std::vector<Field> fields_of(const nvinfer1::PluginFieldCollection& fields);

// The gatherer of a layer that is attached to a context: its own, or the one that it shares. The
// reference keeps it. Throws Error.
std::shared_ptr<Gatherer> attached_gatherer(const Settings& settings);

// Under which a gatherer is shared: by layers with all settings in common, in the calling thread's
// world, on one device. Throws Error as current_world().
std::string sharing_key(const Settings& settings, Device device);

// The fields that the creators take, for TensorRT's tools.
const nvinfer1::PluginFieldCollection& field_names() noexcept;

// Can the layer's tensor at a position (0: section, 1: output) be as described?
bool supports(const Settings& settings, int position, const nvinfer1::PluginTensorDesc* tensors);

// The output's extents, as expressions of the section's. Throws Error invalid_argument.
nvinfer1::DimsExprs output_dimensions(const Settings& settings,
                                      const nvinfer1::DimsExprs& section,
                                      nvinfer1::IExprBuilder& expressions);

EngineTensor tensor_of(const nvinfer1::PluginTensorDesc& description, const void* data);

// What an instance does that never communicates, since the builder may only be timing it: warns,
// once, that it does not gather, and fills its output with 0xff bytes (not a number, in floats), so
// that nobody takes it for a result.
class StandIn {
 public:
  void run(const Settings& settings, const EngineTensor& output, cudaStream_t stream);

 private:
  bool has_warned_ = false;
};

}  // namespace muster::tensorrt

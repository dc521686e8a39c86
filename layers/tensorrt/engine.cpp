#include "engine.h"

#include "adapter.h"
#include "serialization.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <muster/error.h>
#include <muster/plan.h>
#include <muster/tensorrt_runtime.h>
#include <muster/version.h>

#include <array>
#include <atomic>
#include <span>

namespace muster::tensorrt {

namespace {

// The numbers in element_type.cpp and settings.h are the interface's.
static_assert(static_cast<int>(nvinfer1::DataType::kFLOAT) == 0);
static_assert(static_cast<int>(nvinfer1::DataType::kHALF) == 1);
static_assert(static_cast<int>(nvinfer1::DataType::kFP8) == 6);
static_assert(static_cast<int>(nvinfer1::PluginFieldType::kINT32) == Field::int32);
static_assert(static_cast<int>(nvinfer1::PluginFieldType::kCHAR) == Field::text);
static_assert(nvinfer1::Dims::MAX_DIMS == Shape::max_dimensions);

// Python loads TensorRT's library without making its symbols global.
void* symbol_of_tensorrt(const char* name) noexcept {
  if (void* symbol = ::dlsym(RTLD_DEFAULT, name)) return symbol;
  static const std::string soname = "libnvinfer.so." + std::to_string(NV_TENSORRT_MAJOR);
  void* library = ::dlopen(soname.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return nullptr;
  void* symbol = ::dlsym(library, name);
  ::dlclose(library);  // whoever has loaded it still has it
  return symbol;
}

template <typename T>
T* call(const char* function) noexcept {
  void* symbol = symbol_of_tensorrt(function);
  return symbol == nullptr ? nullptr : reinterpret_cast<T* (*)() noexcept>(symbol)();
}

constinit std::atomic<nvinfer1::ILogger*> given_logger = nullptr;
constinit std::atomic<nvinfer1::ILoggerFinder*> given_finder = nullptr;

nvinfer1::ErrorCode code_of(const std::exception& error) {
  const auto* own = dynamic_cast<const Error*>(&error);
  return own != nullptr && own->code() == ErrorCode::invalid_argument
             ? nvinfer1::ErrorCode::kINVALID_ARGUMENT
             : nvinfer1::ErrorCode::kFAILED_EXECUTION;
}

}  // namespace

nvinfer1::IPluginRegistry* registry() noexcept {
  return call<nvinfer1::IPluginRegistry>("getPluginRegistry");
}

nvinfer1::ILogger* logger() noexcept {
  if (nvinfer1::ILogger* given = given_logger) return given;
  if (nvinfer1::ILoggerFinder* finder = given_finder) return finder->findLogger();
  return call<nvinfer1::ILogger>("getLogger");
}

void use_logger(nvinfer1::ILogger* logger) noexcept {
  given_logger = logger;
}

void use_logger_of(nvinfer1::ILoggerFinder* finder) noexcept {
  given_finder = finder;
}

void report(const std::exception& error, nvinfer1::IErrorRecorder* recorder) noexcept {
  try {
    const std::string text = "muster: " + describe(error);
    if (nvinfer1::ILogger* log = logger()) {
      log->log(nvinfer1::ILogger::Severity::kERROR, text.c_str());
    }
    if (recorder == nullptr && registry() != nullptr) recorder = registry()->getErrorRecorder();
    if (recorder != nullptr) recorder->reportError(code_of(error), text.c_str());
  } catch (...) {  // no memory for the text; the caller returns a failure all the same
  }
}

Device current_device() {
  int ordinal = 0;
  if (const cudaError_t status = cudaGetDevice(&ordinal); status != cudaSuccess) {
    throw Error(ErrorCode::unsupported,
                std::string("there is no CUDA device: ") + cudaGetErrorString(status));
  }
  return Device::cuda(ordinal);
}

std::shared_ptr<Gatherer> attached_gatherer(const Settings& settings) {
  const Device device = current_device();
  if (settings.share_communicator) return shared_gatherer(settings, device);
  return std::make_shared<Gatherer>(settings, device);
}

std::string sharing_key(const Settings& settings, Device device) {
  std::string key = fmt::format("muster {} AllGather in {} on {}: ",
                                MUSTER_VERSION,
                                fmt::ptr(current_world().get()),
                                device.to_string());
  for (const std::byte byte : serialize(settings)) {
    key += fmt::format("{:02x}", std::to_integer<int>(byte));
  }
  return key;
}

std::vector<Field> fields_of(const nvinfer1::PluginFieldCollection& fields) {
  std::vector<Field> result;
  for (const auto& field : std::span(fields.fields, static_cast<std::size_t>(fields.nbFields))) {
    result.push_back({field.name, field.data, static_cast<std::int32_t>(field.type), field.length});
  }
  return result;
}

const nvinfer1::PluginFieldCollection& field_names() noexcept {
  using nvinfer1::PluginField;
  constexpr auto int32 = nvinfer1::PluginFieldType::kINT32;
  static const std::array fields{PluginField("group", nullptr, int32, 1),
                                 PluginField("gather_dim", nullptr, int32, 1),
                                 PluginField("sizes", nullptr, int32, 1),
                                 PluginField("type_id", nullptr, int32, 1),
                                 PluginField("timeout_ms", nullptr, int32, 1),
                                 PluginField("share_communicator", nullptr, int32, 1)};
  static const nvinfer1::PluginFieldCollection collection{static_cast<std::int32_t>(fields.size()),
                                                          fields.data()};
  return collection;
}

bool supports(const Settings& settings, int position, const nvinfer1::PluginTensorDesc* tensors) {
  const nvinfer1::PluginTensorDesc& tensor = tensors[position];
  const auto type = static_cast<TypeId>(tensor.type);
  return tensor.format == nvinfer1::TensorFormat::kLINEAR && dtype_of(type) &&
         is_for_plugins(type) &&
         (position == 0 ? !settings.type_id || *settings.type_id == type
                        : tensor.type == tensors[0].type);
}

nvinfer1::DimsExprs output_dimensions(const Settings& settings,
                                      const nvinfer1::DimsExprs& section,
                                      nvinfer1::IExprBuilder& expressions) {
  using Extent = std::remove_cvref_t<decltype(section.d[0]->getConstantValue())>;
  const auto constant = [&](std::int64_t value) {
    if (value != static_cast<Extent>(value)) {
      throw Error(ErrorCode::invalid_argument, "the gathered dimension does not fit TensorRT's");
    }
    return expressions.constant(static_cast<Extent>(value));
  };
  nvinfer1::DimsExprs output(section);
  const nvinfer1::IDimensionExpr*& extent = output.d[gather_dimension(settings, section.nbDims)];
  extent = settings.sizes.empty()
               ? expressions.operation(
                     nvinfer1::DimensionOperation::kPROD, *extent, *constant(settings.group.size()))
               : constant(gathered_extent(settings, 0));
  return output;
}

EngineTensor tensor_of(const nvinfer1::PluginTensorDesc& description, const void* data) {
  const nvinfer1::Dims& dims = description.dims;
  std::vector<std::int64_t> extents(dims.d, dims.d + dims.nbDims);
  return {.data = const_cast<void*>(data),
          .type = static_cast<TypeId>(description.type),
          .shape = Shape(std::span<const std::int64_t>(extents))};
}

void StandIn::run(const Settings& settings, const EngineTensor& output, cudaStream_t stream) {
  nvinfer1::ILogger* log = logger();
  if (!has_warned_ && log != nullptr) {
    const std::string text = "muster: " + label_of(settings) +
                             " does not gather: the builder times it, or the engine has not been "
                             "serialized and deserialized";
    log->log(nvinfer1::ILogger::Severity::kWARNING, text.c_str());
    has_warned_ = true;
  }
  const std::size_t bytes = rows_of(output.shape, to_dtype(output.type), 0).bytes();
  // What it returns does not matter: nothing depends on these bytes.
  static_cast<void>(cudaMemsetAsync(output.data, 0xff, bytes, stream));
}

}  // namespace muster::tensorrt

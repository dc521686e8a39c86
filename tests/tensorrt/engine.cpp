#include "engine.h"

#include "support/require.h"

#include <utility>

namespace muster::test {

void Log::log(Severity severity, const char* text) noexcept {
  if (severity > Severity::kWARNING) return;
  const std::lock_guard lock(mutex_);
  text_ += std::string(text) + "\n";
}

std::string Log::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(text_, {});
}

Log& engine_log() {
  static Log& log = *new Log;  // TensorRT uses it to the very end
  return log;
}

namespace {

// Calls use(builder, network, config) with a network that `build` has made.
template <typename Use>
auto with_network(const BuildNetwork& build, const Use& use) {
  // While a builder lives TensorRT keeps its kernels, which take seconds to load.
  static nvinfer1::IBuilder* const holder = nvinfer1::createInferBuilder(engine_log());
  require(holder != nullptr, "no builder: " + engine_log().take());
  const std::unique_ptr<nvinfer1::IBuilder> builder(nvinfer1::createInferBuilder(engine_log()));
  require(builder != nullptr, "no builder: " + engine_log().take());
  const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(
      1U << static_cast<unsigned>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH)));
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
  // Without cuBLAS and cuDNN, which need not be here.
  config->setTacticSources(
      1U << static_cast<unsigned>(nvinfer1::TacticSource::kEDGE_MASK_CONVOLUTIONS) |
      1U << static_cast<unsigned>(nvinfer1::TacticSource::kJIT_CONVOLUTIONS));
  build(*network, *config, *builder);
  return use(*builder, *network, *config);
}

}  // namespace

std::vector<char> built(const BuildNetwork& build) {
  return with_network(build, [](auto& builder, auto& network, auto& config) {
    const std::unique_ptr<nvinfer1::IHostMemory> plan(
        builder.buildSerializedNetwork(network, config));
    require(plan != nullptr, "the network was not built: " + engine_log().take());
    const char* begin = static_cast<const char*>(plan->data());
    return std::vector<char>{begin, begin + plan->size()};
  });
}

std::unique_ptr<nvinfer1::ICudaEngine> built_only(const BuildNetwork& build) {
  return with_network(build, [](auto& builder, auto& network, auto& config) {
    std::unique_ptr<nvinfer1::ICudaEngine> engine(builder.buildEngineWithConfig(network, config));
    require(engine != nullptr, "the network was not built: " + engine_log().take());
    return engine;
  });
}

void make_output(nvinfer1::INetworkDefinition& network,
                 nvinfer1::ITensor& tensor,
                 const char* name) {
  tensor.setName(name);
  network.markOutput(tensor);
}

namespace {

std::shared_ptr<nvinfer1::IRuntime> new_runtime(nvinfer1::IGpuAllocator* allocator) {
  std::shared_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(engine_log()));
  require(runtime != nullptr, "no runtime: " + engine_log().take());
  if (allocator != nullptr) runtime->setGpuAllocator(allocator);
  return runtime;
}

std::shared_ptr<nvinfer1::ICudaEngine> deserialized(nvinfer1::IRuntime& runtime,
                                                    const std::vector<char>& engine) {
  std::shared_ptr<nvinfer1::ICudaEngine> deserialized(
      runtime.deserializeCudaEngine(engine.data(), engine.size()));
  require(deserialized != nullptr, "no engine: " + engine_log().take());
  return deserialized;
}

}  // namespace

Context::Context(const std::vector<char>& engine, nvinfer1::IGpuAllocator* allocator)
    : Context(new_runtime(allocator), engine) {}

Context::Context(std::shared_ptr<nvinfer1::IRuntime> runtime, const std::vector<char>& engine)
    : Context(runtime, deserialized(*runtime, engine)) {}

Context::Context(std::shared_ptr<nvinfer1::IRuntime> runtime,
                 std::shared_ptr<nvinfer1::ICudaEngine> engine)
    : runtime_(std::move(runtime)),
      engine_(std::move(engine)),
      context_(engine_->createExecutionContext()) {
  require(context_ != nullptr, "no context: " + engine_log().take());
}

void Context::use_profile(int profile, cudaStream_t stream) {
  require(context_->setOptimizationProfileAsync(profile, stream),
          "the profile is refused: " + engine_log().take());
}

void Context::set_shape(const char* input, const nvinfer1::Dims& dims) {
  require(context_->setInputShape(input, dims), "the shape is refused: " + engine_log().take());
}

void Context::set_address(const char* tensor, void* data) {
  require(context_->setTensorAddress(tensor, data), "the address is refused");
}

bool Context::enqueue(cudaStream_t stream) {
  return context_->enqueueV3(stream);
}

}  // namespace muster::test

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

Context::Context(const std::vector<char>& engine, nvinfer1::IGpuAllocator* allocator)
    : runtime_(nvinfer1::createInferRuntime(engine_log())) {
  require(runtime_ != nullptr, "no runtime: " + engine_log().take());
  if (allocator != nullptr) runtime_->setGpuAllocator(allocator);
  engine_.reset(runtime_->deserializeCudaEngine(engine.data(), engine.size()));
  require(engine_ != nullptr, "no engine: " + engine_log().take());
  context_.reset(engine_->createExecutionContext());
  require(context_ != nullptr, "no context: " + engine_log().take());
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

// A tensor-parallel network of two layers in TensorRT, checked against the same network unsplit.
//
//   y = relu(x A) B
//
// Each rank holds a section of the columns of A and of B. The hidden tensor is gathered along its
// columns, so that every rank can multiply all of it with its part of B, and so is the result.
//
//   muster run -n 4 two_layers
//
// Ranks may share a GPU; with several, rank r takes GPU r modulo their number.
#include <NvInfer.h>
#include <cuda_runtime_api.h>
#include <muster/muster.h>
#include <muster/tensorrt.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int batch = 16, inputs = 256, hidden = 512, outputs = 128;

void require(bool condition, const std::string& otherwise) {
  if (!condition) throw std::runtime_error(otherwise);
}

class Logger : public nvinfer1::ILogger {
  void log(Severity severity, const char* text) noexcept override {
    if (severity <= Severity::kERROR) std::fprintf(stderr, "%s\n", text);
  }
};

Logger logger;

// A rank's columns of a matrix [rows, columns], whose elements follow from their places.
struct Weights {
  Weights(int rows_, int columns_, int rank, int ranks)
      : rows(rows_),
        columns(columns_ / ranks),
        values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)) {
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        const auto place = static_cast<std::size_t>(row * columns + column);
        values[place] = element(row, rank * columns + column);
      }
    }
  }

  static float element(int row, int column) {
    return std::sin(static_cast<float>(3 * row + 7 * column) * 0.1F) / 16;
  }

  int rows;
  int columns;
  std::vector<float> values;
};

nvinfer1::ITensor& times(nvinfer1::INetworkDefinition& network,
                         nvinfer1::ITensor& x,
                         const Weights& weights) {
  const nvinfer1::Weights constant{nvinfer1::DataType::kFLOAT,
                                   weights.values.data(),
                                   static_cast<std::int64_t>(weights.values.size())};
  auto& matrix =
      *network.addConstant(nvinfer1::Dims2(weights.rows, weights.columns), constant)->getOutput(0);
  constexpr auto none = nvinfer1::MatrixOperation::kNONE;
  return *network.addMatrixMultiply(x, none, matrix, none)->getOutput(0);
}

nvinfer1::ITensor& relu(nvinfer1::INetworkDefinition& network, nvinfer1::ITensor& x) {
  return *network.addActivation(x, nvinfer1::ActivationType::kRELU)->getOutput(0);
}

// This rank's network, serialized. With one rank it is the unsplit one.
std::unique_ptr<nvinfer1::IHostMemory> built(nvinfer1::IBuilder& builder, int rank, int ranks) {
  const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder.createNetworkV2(
      1U << static_cast<unsigned>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH)));
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder.createBuilderConfig());
  // cuBLAS and cuDNN, which need not be installed, are left out.
  config->setTacticSources(
      1U << static_cast<unsigned>(nvinfer1::TacticSource::kEDGE_MASK_CONVOLUTIONS) |
      1U << static_cast<unsigned>(nvinfer1::TacticSource::kJIT_CONVOLUTIONS));
  config->clearFlag(nvinfer1::BuilderFlag::kTF32);  // to compare with the unsplit network

  const Weights a(inputs, hidden, rank, ranks);
  const Weights b(hidden, outputs, rank, ranks);
  const auto group = muster::Group::range(ranks);
  auto& x = *network->addInput("x", nvinfer1::DataType::kFLOAT, nvinfer1::Dims2(batch, inputs));
  auto* between = &relu(*network, times(*network, x, a));
  if (ranks > 1) between = &muster::tensorrt::all_gather(*network, *between, group, -1);
  auto* y = &times(*network, *between, b);
  if (ranks > 1) y = &muster::tensorrt::all_gather(*network, *y, group, -1);
  y->setName("y");
  network->markOutput(*y);

  std::unique_ptr<nvinfer1::IHostMemory> plan(builder.buildSerializedNetwork(*network, *config));
  require(plan != nullptr, "TensorRT does not build the network");
  return plan;
}

// Runs a serialized engine on x. Its tensors lie where the other ranks reach them.
std::vector<float> run(const nvinfer1::IHostMemory& plan,
                       const std::shared_ptr<muster::World>& world,
                       muster::Device device) {
  const auto allocator = muster::tensorrt::arena_allocator(world, device);
  const std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(logger));
  runtime->setGpuAllocator(allocator.get());
  const std::unique_ptr<nvinfer1::ICudaEngine> engine(
      runtime->deserializeCudaEngine(plan.data(), plan.size()));
  require(engine != nullptr, "TensorRT does not read the engine");
  const std::unique_ptr<nvinfer1::IExecutionContext> context(engine->createExecutionContext());
  require(context != nullptr, "TensorRT makes no context");

  std::vector<float> x(std::size_t{batch} * inputs), y(std::size_t{batch} * outputs);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i) * 0.01F);
  const muster::Buffer input = world->allocate(x.size() * sizeof(float), device);
  const muster::Buffer output = world->allocate(y.size() * sizeof(float), device);
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaMemcpyAsync(input.data(), x.data(), input.size(), cudaMemcpyHostToDevice, stream);
  context->setTensorAddress("x", input.data());
  context->setTensorAddress("y", output.data());
  require(context->enqueueV3(stream), "TensorRT does not run the engine");
  cudaMemcpyAsync(y.data(), output.data(), output.size(), cudaMemcpyDeviceToHost, stream);
  require(cudaStreamSynchronize(stream) == cudaSuccess, "the run has failed");
  muster::tensorrt::check();
  cudaStreamDestroy(stream);
  return y;
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

void act() {
  const std::shared_ptr<muster::World> world = muster::tensorrt::current_world();
  require(hidden % world->size() == 0 && outputs % world->size() == 0,
          "the columns are split evenly here: take 1, 2, 4 or 8 ranks");
  int devices = 0;
  require(cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0, "there is no GPU here");
  const auto device = muster::Device::cuda(world->rank() % devices);
  cudaSetDevice(device.ordinal());

  // One for both: TensorRT takes seconds to load its kernels for the first.
  const std::unique_ptr<nvinfer1::IBuilder> builder(nvinfer1::createInferBuilder(logger));
  require(builder != nullptr, "TensorRT makes no builder");
  const auto split = run(*built(*builder, world->rank(), world->size()), world, device);
  const auto whole = run(*built(*builder, 0, 1), world, device);
  const float difference = largest_difference(split, whole);
  std::printf("rank %d of %d: largest difference to the unsplit network %.2g\n",
              world->rank(),
              world->size(),
              static_cast<double>(difference));
  require(difference < 1e-4F, "the split network gives another result");
  world->exchange(muster::Group::range(world->size()), {});  // leave together
}

}  // namespace

int main() {
  try {
    act();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

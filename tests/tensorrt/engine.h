// Engines of TensorRT's, built and run for tests: objects that own what the engine hands out.
#pragma once

#include <NvInfer.h>
#include <cuda_runtime_api.h>
#include <muster/tensorrt.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace muster::test {

// Keeps what TensorRT says at warning level and above. Thread-safe.
class Log : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* text) noexcept override;
  std::string take();

 private:
  std::mutex mutex_;
  std::string text_;
};

// The process's; TensorRT keeps the first that it is given.
Log& engine_log();

using BuildNetwork = std::function<void(
    nvinfer1::INetworkDefinition&, nvinfer1::IBuilderConfig&, nvinfer1::IBuilder&)>;

// An engine of a network that was not serialized: as built(), but for that.
std::unique_ptr<nvinfer1::ICudaEngine> built_only(const BuildNetwork& build);

// A serialized engine of a network. Throws what TensorRT has logged if there is none.
std::vector<char> built(const BuildNetwork& build);

// Marks a tensor as the network's output of that name.
void make_output(nvinfer1::INetworkDefinition& network,
                 nvinfer1::ITensor& tensor,
                 const char* name);

// One execution context of an engine. The arena allocator, if any, must outlive it.
class Context {
 public:
  // Of an engine of its own.
  explicit Context(const std::vector<char>& engine, nvinfer1::IGpuAllocator* allocator = nullptr);

  // One more of the same engine. It has no optimization profile before it is told one that no other
  // context uses, unless all shapes are fixed.
  Context another() const { return Context(runtime_, engine_); }

  // Chooses one of the engine's optimization profiles; the shapes are to be set anew.
  void use_profile(int profile, cudaStream_t stream);
  void set_shape(const char* input, const nvinfer1::Dims& dims);
  void set_address(const char* tensor, void* data);
  // Enqueues a run; false if TensorRT refuses.
  bool enqueue(cudaStream_t stream);

  nvinfer1::ICudaEngine& engine() { return *engine_; }
  nvinfer1::IExecutionContext& operator*() { return *context_; }

 private:
  Context(std::shared_ptr<nvinfer1::IRuntime> runtime, const std::vector<char>& engine);
  Context(std::shared_ptr<nvinfer1::IRuntime> runtime,
          std::shared_ptr<nvinfer1::ICudaEngine> engine);

  std::shared_ptr<nvinfer1::IRuntime> runtime_;
  std::shared_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
};

}  // namespace muster::test

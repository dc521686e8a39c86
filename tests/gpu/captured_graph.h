// A CUDA graph in a test.
#pragma once

#include "gpu/gpu.h"

#include <functional>

namespace muster::test {

// Work captured once, to launch often.
class CapturedGraph {
 public:
  CapturedGraph(const OwnStream& stream, const std::function<void()>& work) : stream_(stream) {
    cudaGraph_t graph = nullptr;
    require_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
    work();
    require_cuda(cudaStreamEndCapture(stream.get(), &graph));
    require_cuda(cudaGraphInstantiate(&executable_, graph, 0));
    require_cuda(cudaGraphDestroy(graph));
    require_cuda(cudaGraphUpload(executable_, stream.get()));
    stream.wait();
  }
  ~CapturedGraph() { cudaGraphExecDestroy(executable_); }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  void launch() const { require_cuda(cudaGraphLaunch(executable_, stream_.get())); }

 private:
  const OwnStream& stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace muster::test

// A rank's GPU in a benchmark: its stream, its memory, and its peers' outputs.
#pragma once

#include <muster/world.h>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace muster::tool {

// Throws Failure unless a call of CUDA's has succeeded.
void require_cuda(cudaError_t status, std::string_view what);

class GpuRank {
 public:
  explicit GpuRank(World& world);  // throws Failure where there is no GPU
  ~GpuRank();
  GpuRank(const GpuRank&) = delete;
  GpuRank& operator=(const GpuRank&) = delete;

  World& world() const noexcept { return *world_; }
  int ordinal() const noexcept { return ordinal_; }
  cudaStream_t stream() const noexcept { return stream_; }
  // How many ranks use a GPU, at most.
  int ranks_sharing() const noexcept { return sharing_; }
  bool ranks_are_threads() const noexcept { return ranks_are_threads_; }

  void wait() const { require_cuda(cudaStreamSynchronize(stream_), "waiting for a stream"); }

  // Ordinary memory of the device. Stream-ordered, since cudaFree waits for every kernel, also for
  // one that waits for this rank.
  std::shared_ptr<std::byte> allocate(std::size_t bytes) const;

 private:
  World* world_;
  int ordinal_ = 0;
  int sharing_ = 1;
  bool ranks_are_threads_ = false;
  cudaStream_t stream_ = nullptr;
};

// Every rank brings memory from cudaMalloc; element r is rank r's, as this rank can write it. Every
// rank of the world calls it.
class PeerMemory {
 public:
  PeerMemory(const GpuRank& rank, std::size_t bytes);
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  std::byte* of(int rank) const { return addresses_[static_cast<std::size_t>(rank)]; }

 private:
  const GpuRank& rank_;
  std::byte* own_ = nullptr;
  std::vector<std::byte*> addresses_;  // by rank
};

}  // namespace muster::tool

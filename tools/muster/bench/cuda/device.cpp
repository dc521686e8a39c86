#include "bench/cuda/device.h"

#include "exit_status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace muster::tool {
namespace {

template <typename Value>
std::vector<Value> exchange(World& world, const Value& mine) {
  std::vector<Value> all;
  const auto bytes = std::as_bytes(std::span(&mine, 1));
  for (const auto& blob : world.exchange(Group::range(world.size()), bytes)) {
    std::memcpy(&all.emplace_back(), blob.data(), sizeof(Value));
  }
  return all;
}

}  // namespace

void require_cuda(cudaError_t status, std::string_view what) {
  if (status != cudaSuccess) {
    throw Failure(fmt::format("bench: {}: {}", what, cudaGetErrorString(status)));
  }
}

GpuRank::GpuRank(World& world) : world_(&world) {
  int devices = 0;
  require_cuda(cudaGetDeviceCount(&devices), "looking for GPUs");
  ordinal_ = world.rank() % devices;
  require_cuda(cudaSetDevice(ordinal_), "choosing a GPU");
  require_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  sharing_ = (world.size() + devices - 1) / devices;
  const auto processes = exchange(world, ::getpid());
  ranks_are_threads_ = world.size() > 1 && processes[0] == processes[1];
  if (!ranks_are_threads_) return;
  for (int peer = 0; peer < devices; ++peer) {
    if (peer == ordinal_) continue;
    const cudaError_t status = cudaDeviceEnablePeerAccess(peer, 0);
    if (status != cudaErrorPeerAccessAlreadyEnabled) require_cuda(status, "reaching a peer");
    cudaGetLastError();
  }
}

GpuRank::~GpuRank() {
  cudaStreamDestroy(stream_);
}

std::shared_ptr<std::byte> GpuRank::allocate(std::size_t bytes) const {
  void* memory = nullptr;
  require_cuda(cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 1), stream_),
               "allocating GPU memory");
  wait();
  return {static_cast<std::byte*>(memory),
          [stream = stream_](std::byte* m) { cudaFreeAsync(m, stream); }};
}

// Memory that CUDA itself lets other processes map, and not muster's: what measures muster does not
// lean on it.
PeerMemory::PeerMemory(const GpuRank& rank, std::size_t bytes) : rank_(rank) {
  void* memory = nullptr;
  require_cuda(cudaMalloc(&memory, std::max<std::size_t>(bytes, 1)), "allocating GPU memory");
  own_ = static_cast<std::byte*>(memory);
  if (rank.ranks_are_threads() || rank.world().size() == 1) {
    addresses_ = exchange(rank.world(), own_);
    return;
  }
  cudaIpcMemHandle_t handle{};
  require_cuda(cudaIpcGetMemHandle(&handle, own_), "sharing GPU memory");
  const auto handles = exchange(rank.world(), handle);
  for (int r = 0; r < rank.world().size(); ++r) {
    void* address = own_;
    if (r != rank.world().rank()) {
      require_cuda(
          cudaIpcOpenMemHandle(
              &address, handles[static_cast<std::size_t>(r)], cudaIpcMemLazyEnablePeerAccess),
          "mapping a peer's GPU memory");
    }
    addresses_.push_back(static_cast<std::byte*>(address));
  }
}

PeerMemory::~PeerMemory() {
  for (std::byte* address : addresses_) {
    if (!rank_.ranks_are_threads() && address != own_) cudaIpcCloseMemHandle(address);
  }
  cudaFree(own_);
}

}  // namespace muster::tool

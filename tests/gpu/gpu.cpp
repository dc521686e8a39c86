#include "gpu/gpu.h"

#include "support/timeouts.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

namespace muster::test {

void require_cuda(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

bool have_gpu() {
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
  ::setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  return status == cudaSuccess && count > 0;
}

void use_device_of(const World& world) {
  int count = 0;
  require_cuda(cudaGetDeviceCount(&count));
  require_cuda(cudaSetDevice(world.rank() % count));
}

Device this_device() {
  int ordinal = 0;
  require_cuda(cudaGetDevice(&ordinal));
  return Device::cuda(ordinal);
}

OwnStream::OwnStream(int priority) {
  require_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority));
}

void hold_up(const OwnStream& stream, std::chrono::milliseconds& time) {
  const auto sleep = [](void* milliseconds) {
    std::this_thread::sleep_for(*static_cast<std::chrono::milliseconds*>(milliseconds));
  };
  require_cuda(cudaLaunchHostFunc(stream.get(), sleep, &time));
}

Gathering::Gathering(World& world, const OwnStream& stream, std::int64_t bytes)
    : world_(world),
      stream_(stream),
      bytes_(bytes),
      shard_(world.allocate(static_cast<std::size_t>(bytes), this_device())),
      full_(world.allocate(static_cast<std::size_t>(bytes * world.size()), this_device())),
      group_(Group::range(world.size())) {}

void Gathering::fill(int round) {
  require_cuda(cudaMemsetAsync(
      shard_.data(), round + 7 * world_.rank(), static_cast<std::size_t>(bytes_), stream_.get()));
}

void Gathering::enqueue(Communicator& communicator, const OwnStream& stream) {
  group_ = communicator.group();
  communicator.all_gather({shard_.data(), DataType::uint8, {bytes_}},
                          {full_.data(), DataType::uint8, {bytes_ * group_.size()}},
                          0,
                          stream.handle());
}

void Gathering::expect(int round) {
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(bytes_ * group_.size()));
  require_cuda(cudaMemcpyAsync(
      seen.data(), full_.data(), seen.size(), cudaMemcpyDeviceToHost, stream_.get()));
  stream_.wait();
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const int rank = group_[static_cast<int>(i / static_cast<std::size_t>(bytes_))];
    require(seen[i] == static_cast<std::uint8_t>(round + 7 * rank),
            "byte " + std::to_string(i) + " is wrong in round " + std::to_string(round));
  }
}

void Gathering::expect_nobody_writes(std::chrono::milliseconds time) {
  constexpr std::uint8_t mark = 0xEE;
  std::vector<std::uint8_t> seen(full_.bytes().size());
  require_cuda(cudaMemsetAsync(full_.data(), mark, seen.size(), stream_.get()));
  stream_.wait();
  std::this_thread::sleep_for(time);
  require_cuda(cudaMemcpyAsync(
      seen.data(), full_.data(), seen.size(), cudaMemcpyDeviceToHost, stream_.get()));
  stream_.wait();
  const auto written =
      std::count_if(seen.begin(), seen.end(), [](auto byte) { return byte != mark; });
  require(written == 0, std::to_string(written) + " bytes were written by somebody");
}

CommunicatorOptions on_gpu(std::string tag, std::chrono::milliseconds timeout) {
  return {.timeout = scaled(timeout),
          .tag = std::move(tag),
          .device = this_device(),
          .transport = Transport::cuda};
}

void as_threads(int ranks, const std::function<void(World&)>& act) {
  std::vector<World> worlds = World::threads(ranks);
  std::vector<std::string> failures(worlds.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < worlds.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        use_device_of(worlds[r]);
        act(worlds[r]);
      } catch (const std::exception& error) {
        failures[r] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t r = 0; r < failures.size(); ++r) {
    if (!failures[r].empty()) {
      throw std::runtime_error("rank " + std::to_string(r) + ": " + failures[r]);
    }
  }
}

}  // namespace muster::test

// Ranks as threads, dealt out over the GPUs there are, and memory to gather there.
#pragma once

#include "support/require.h"

#include <muster/muster.h>

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace muster::test {

// Throws unless a call of CUDA's has succeeded.
void require_cuda(cudaError_t status);

// Does this machine have a GPU? Sets what CUDA reads when it starts: each stream its own queue, and
// no module loaded while a kernel waits.
bool have_gpu();

// A rank's device, for its thread or process: that of its number, modulo how many there are.
void use_device_of(const World& world);

// The calling thread's.
Device this_device();

// A stream of this device that waits for no other; the lower its priority's number, the more urgent
// it is.
class OwnStream {
 public:
  explicit OwnStream(int priority = 0);
  ~OwnStream() { cudaStreamDestroy(stream_); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  cudaStream_t get() const { return stream_; }
  Stream handle() const { return Stream(stream_); }
  void wait() const { require_cuda(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

// Holds the stream up: what is enqueued behind does not begin before. `time` must live that long.
void hold_up(const OwnStream& stream, std::chrono::milliseconds& time);
// The same by a kernel, which needs no process to end it.
void hold_up_by_kernel(const OwnStream& stream, std::chrono::nanoseconds time);

// Runs a kernel that traps: from then on every call of CUDA's in this process fails.
void fault_by_kernel(const OwnStream& stream);

// A rank that gathers bytes: `bytes` of each member into a Buffer with room for the whole world.
class Gathering {
 public:
  Gathering(World& world, const OwnStream& stream, std::int64_t bytes);

  // Fills the shard for a round, on the stream.
  void fill(int round);
  void enqueue(Communicator& communicator) { enqueue(communicator, stream_); }
  void enqueue(Communicator& communicator, const OwnStream& stream);
  // Waits, and throws unless the output is that of a round, with the communicator gathered on last.
  void expect(int round);
  // Writes over the output, and throws if anybody writes there within a time.
  void expect_nobody_writes(std::chrono::milliseconds time);

 private:
  World& world_;
  const OwnStream& stream_;
  const std::int64_t bytes_;
  Buffer shard_;
  Buffer full_;
  Group group_;
};

// What a rank's communicators are made with.
CommunicatorOptions on_gpu(std::string tag,
                           std::chrono::milliseconds timeout = World::default_timeout);

// Acts as every rank of a world of threads; throws what the first of them throws.
void as_threads(int ranks, const std::function<void(World&)>& act);

}  // namespace muster::test

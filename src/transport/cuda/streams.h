// Which rank uses which stream.
#pragma once

#include "muster/device.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <mutex>
#include <set>

namespace muster::transport::cuda {

// Throws invalid_argument for the legacy default stream, which waits for all others.
void refuse_legacy(Stream stream);

// Held while a gather is launched on a stream that may be new. Where two threads of a process
// launch the first kernels of two streams within 20 us, CUDA sometimes starts the one only when the
// other has ended, which here waits for it (docs/design.md, Several ranks on one GPU). Nobody waits
// longer for the lock than 10 ms: its holder may be stuck in a launch queue that is full.
[[nodiscard]] std::unique_lock<std::timed_mutex> alone_on_new_streams();

// The rank whose work a stream carries. Ranks that are threads of one process must not share one: a
// gather of the second would wait behind that of the first, which waits for it. Thread-safe.
class StreamUser {
 public:
  explicit StreamUser(const void* rank) : rank_(rank) {}
  ~StreamUser();
  StreamUser(const StreamUser&) = delete;
  StreamUser& operator=(const StreamUser&) = delete;

  // A stream that is not being captured: its number, which no other stream of the process ever has.
  // Throws invalid_argument for a stream that another rank uses.
  std::uint64_t claim(cudaStream_t stream);

 private:
  const void* rank_;
  std::uint64_t last_ = 0;  // claimed before
  std::set<std::uint64_t> claimed_;
};

}  // namespace muster::transport::cuda

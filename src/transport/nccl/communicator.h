// NCCL's half of a communicator: non-blocking, so that no call of its waits longer than muster may.
#pragma once

#include "transport/nccl/library.h"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <thread>

namespace muster::transport::nccl {

// Bytes to or from a member.
struct Transfer {
  int member;
  std::byte* data;
  std::size_t bytes;
};

// The current device is the communicator's in all calls, which one thread makes at a time. Whatever
// begins here goes on in the background until state() says success; nothing else may begin before.
class NcclCommunicator {
 public:
  // Begins to meet the others. Throws system.
  NcclCommunicator(const ncclUniqueId& id, int size, int self);
  // Aborts. Graphs with gathers of this communicator must be gone: NCCL waits for that.
  ~NcclCommunicator();
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  // ncclInProgress, ncclSuccess, or what went wrong since.
  ncclResult_t state() const;

  // Every member sends `bytes` bytes, which go to `to`, one member's behind the other's.
  void all_gather(const std::byte* from, std::byte* to, std::size_t bytes, cudaStream_t stream);
  void exchange(std::span<const Transfer> sent,
                std::span<const Transfer> received,
                cudaStream_t stream);

  // Ends what runs on the device, soon, and everything for good; the rest goes on in the
  // background. Nothing else may be called afterwards, but this again.
  void abort() noexcept;

 private:
  const Library& nccl_;
  ncclComm_t handle_ = nullptr;
  std::thread aborting_;
};

}  // namespace muster::transport::nccl

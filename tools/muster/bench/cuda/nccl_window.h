// Memory that all ranks have registered with NCCL as a symmetric window, by which it gathers with
// kernels that store into the peers' memory.
#pragma once

#include "bench/cuda/device.h"
#include "bench/cuda/nccl_library.h"

#include <cstddef>
#include <memory>
#include <span>

namespace muster::tool {

class NcclWindow {
 public:
  // Null, for all ranks, where one of them has no such window: NCCL is older than 2.28, or the
  // devices do not reach each other. Every rank of the world calls it. The communicator must
  // outlive the window.
  static std::shared_ptr<NcclWindow> make(const GpuRank& rank,
                                          ncclComm_t communicator,
                                          std::size_t bytes);
  ~NcclWindow();
  NcclWindow(const NcclWindow&) = delete;
  NcclWindow& operator=(const NcclWindow&) = delete;

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(memory_), size_}; }

 private:
  NcclWindow(ncclComm_t communicator, std::size_t bytes);

  const ncclComm_t communicator_;
  const std::size_t size_;
  void* memory_ = nullptr;
  ncclWindow_t window_ = nullptr;
};

}  // namespace muster::tool

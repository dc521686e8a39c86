#include "bench/cuda/nccl_window.h"

namespace muster::tool {

std::shared_ptr<NcclWindow> NcclWindow::make(const GpuRank& rank,
                                             ncclComm_t communicator,
                                             std::size_t bytes) {
  if (nccl_library()->register_window == nullptr) return nullptr;
  std::shared_ptr<NcclWindow> window(new NcclWindow(communicator, bytes));
  const std::byte mine{window->window_ != nullptr};
  const Group all = Group::range(rank.world().size());
  for (const auto& theirs : rank.world().exchange(all, std::span(&mine, 1))) {
    if (theirs[0] != std::byte{1}) return nullptr;
  }
  return window;
}

// Registering is collective: a rank that has got no memory still takes part in nothing, and what it
// tells the others keeps them from using theirs.
NcclWindow::NcclWindow(ncclComm_t communicator, std::size_t bytes)
    : communicator_(communicator), size_(bytes) {
  const NcclLibrary& nccl = *nccl_library();
  if (nccl.allocate(&memory_, bytes) != ncclSuccess) return;
  const auto status =
      nccl.register_window(communicator, memory_, bytes, &window_, NCCL_WIN_COLL_SYMMETRIC);
  if (status != ncclSuccess) window_ = nullptr;
}

NcclWindow::~NcclWindow() {
  if (window_ != nullptr) nccl_library()->deregister_window(communicator_, window_);
  if (memory_ != nullptr) nccl_library()->free(memory_);
}

}  // namespace muster::tool

#include "transport/nccl/communicator.h"

#include <cstddef>
#include <system_error>
#include <utility>

namespace muster::transport::nccl {

namespace {

// What every version from the oldest one on understands: newer members keep their defaults, and the
// library reads no further than it is told to.
ncclConfig_t configuration() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.size = offsetof(ncclConfig_t, trafficClass);
  config.version = static_cast<unsigned>(oldest_version);
  config.blocking = 0;
  return config;
}

}  // namespace

NcclCommunicator::NcclCommunicator(const ncclUniqueId& id, int size, int self) : nccl_(*library()) {
  ncclConfig_t config = configuration();
  require(nccl_.init(&handle_, size, id, self, &config), "making a communicator");
}

NcclCommunicator::~NcclCommunicator() {
  abort();
  if (aborting_.joinable()) aborting_.join();
}

ncclResult_t NcclCommunicator::state() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = nccl_.async_error(handle_, &state);
  return asked == ncclSuccess ? state : asked;
}

void NcclCommunicator::all_gather(const std::byte* from,
                                  std::byte* to,
                                  std::size_t bytes,
                                  cudaStream_t stream) {
  require(nccl_.all_gather(from, to, bytes, ncclInt8, handle_, stream), "ncclAllGather");
}

void NcclCommunicator::exchange(std::span<const Transfer> sent,
                                std::span<const Transfer> received,
                                cudaStream_t stream) {
  require(nccl_.group_start(), "ncclGroupStart");
  ncclResult_t result = ncclSuccess;
  const auto keep_first = [&](ncclResult_t next) {
    if (result == ncclSuccess || result == ncclInProgress) result = next;
  };
  for (const Transfer& t : sent) {
    keep_first(nccl_.send(t.data, t.bytes, ncclInt8, t.member, handle_, stream));
  }
  for (const Transfer& t : received) {
    keep_first(nccl_.receive(t.data, t.bytes, ncclInt8, t.member, handle_, stream));
  }
  keep_first(nccl_.group_end());
  require(result, "ncclSend and ncclRecv");
}

// ncclCommAbort first raises the flag that ends kernels, then waits until captured graphs are gone:
// that may be long, and the flag is what matters.
void NcclCommunicator::abort() noexcept {
  if (handle_ == nullptr) return;
  ncclComm_t handle = std::exchange(handle_, nullptr);
  try {
    aborting_ = std::thread([&nccl = nccl_, handle] { nccl.abort(handle); });
  } catch (const std::system_error&) {  // no thread is to be had: this one waits
    nccl_.abort(handle);
  }
}

}  // namespace muster::transport::nccl

// How NCCL does a gather along any dimension.
#pragma once

#include "transport/nccl/communicator.h"
#include "transport/nccl/kernels.h"
#include "transport/shm/agreement.h"

#include <cstddef>
#include <vector>

namespace muster::transport::nccl {

// What is enqueued, in this order. A gather of more than one row passes through scratch memory,
// where sections lie one behind the other, as NCCL knows no strides.
struct Schedule {
  Moves before;  // rows that NCCL takes packed; the own section, where NCCL does not bring it

  bool equal = true;  // sections: then one ncclAllGather, else sends and receives in a group
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  std::size_t bytes = 0;
  std::vector<Transfer> sent;
  std::vector<Transfer> received;

  Moves after;  // rows from scratch memory to their places
};

// Of a gather that the members have agreed on. `scratch` has scratch_bytes() of it.
Schedule make_schedule(
    const Gather& gather, int self, int size, const shm::Agreement& agreement, std::byte* scratch);

std::size_t scratch_bytes(const Gather& gather);

}  // namespace muster::transport::nccl

// Ways to gather on GPUs, as the benchmark sees them: `call` puts one gather on the rank's stream.
#pragma once

#include "bench/contender.h"
#include "bench/cuda/device.h"

#include <optional>
#include <string>
#include <vector>

namespace muster::tool {

// One rank's place in one case.
struct GpuWorkspace {
  const GpuRank& rank;
  Team& team;
  const GatherCase& gather;
  std::span<std::byte> source;  // on the device
  std::span<std::byte> output;  // on the device; contenders take turns
};

// `placement` as that of make_muster.
Contender make_muster_on_gpu(const GpuWorkspace& workspace, const std::string& placement);

// The limits: each rank writes its rows to all outputs, and nobody waits for anybody. "memcpy2d" by
// CUDA's own copies, one a rank; "kernel" by one kernel, which reads each row once; the latter only
// where rows are multiples of 16 bytes.
std::vector<Contender> make_limits_on_gpu(const GpuWorkspace& workspace);

// What a user of NCCL has. "nccl" gathers along dimension 0, for an inner dimension another result;
// so does "nccl symmetric", from 2.28 on, between windows that the ranks have registered;
// "nccl+permute" moves the rows into place afterwards. Nothing where NCCL is missing, refuses the
// ranks (several on a GPU, below 2.30), or sections are unequal.
class Nccl {
 public:
  // Every rank of the world calls it.
  explicit Nccl(const GpuRank& rank);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  // Its version, or why there is none.
  const std::string& note() const noexcept { return note_; }
  std::vector<Contender> contenders(const GpuWorkspace& workspace) const;

 private:
  struct Communicator;
  std::unique_ptr<Communicator> communicator_;
  std::string note_;
};

}  // namespace muster::tool

#include "bench/contender.h"

#include <cstring>
#include <memory>

namespace muster::tool {
namespace {

struct Copies {
  std::vector<Mapping> outputs;  // by rank; the same kind of memory as muster's
  std::span<const std::byte> source;
  GatherPlan plan;
  int rank;

  void operator()() const {
    const std::size_t bytes = plan.row_bytes(rank);
    for (int step = 1; step <= plan.members(); ++step) {
      const auto peer = static_cast<std::size_t>((rank + step) % plan.members());
      std::byte* place = outputs[peer].bytes().data() + plan.row_offset(rank);
      for (std::size_t row = 0; row < plan.outer(); ++row) {
        std::memcpy(place + row * plan.output_row_bytes(), source.data() + row * bytes, bytes);
      }
    }
  }
};

}  // namespace

Contender make_memcpy(Workspace& workspace) {
  const GatherPlan& plan = workspace.gather().plan;
  const auto copies = std::make_shared<const Copies>(
      Copies{.outputs = share_memory(workspace.world(), plan.output_bytes()),
             .source = workspace.source(),
             .plan = plan,
             .rank = workspace.rank()});
  const auto output = copies->outputs[static_cast<std::size_t>(workspace.rank())].bytes();
  return {"memcpy", "none", "shared", workspace.source(), output, plan, [copies] { (*copies)(); }};
}

}  // namespace muster::tool

#include "bench/contender.h"

namespace muster::tool {

std::span<std::byte> Workspace::output() {
  if (output_.bytes().empty()) output_ = Mapping(gather_->plan.output_bytes());
  return output_.bytes();
}

}  // namespace muster::tool

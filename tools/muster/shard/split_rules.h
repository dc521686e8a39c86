// Which nodes begin a split: those that multiply with a constant weight, or look rows up in one.
#pragma once

#include "shard/graph.h"
#include "shard/step.h"

#include <optional>
#include <string>

namespace muster::tool {

// A node that could be split, were it not for what `obstacle` says.
struct Candidate {
  int weight = 0;  // index of the input with the weight
  std::optional<Step> step;
  std::string obstacle;  // where there is no step
};

// MatMul, Gemm, Conv and Gather with a weight that is an initializer or a Constant; nothing for any
// other node. A step splits the weight in that dimension of it that becomes a dimension of the
// output, so a section of it makes a section of the output, element by element as the whole does.
std::optional<Candidate> find_candidate(const Graph& graph,
                                        const ::onnx::NodeProto& node,
                                        int ranks);

}  // namespace muster::tool

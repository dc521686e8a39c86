// Which nodes can go on with sections, and need no gather before them.
#pragma once

#include "shard/graph.h"
#include "shard/step.h"

#include <optional>

namespace muster::tool {

// A node with at least one input that is split, and whose every output element depends on elements
// of the same place alone: elementwise operators whose other operands are split alike or constant,
// and BatchNormalization whose channels are split. Nothing for any other node, and wherever this
// cannot be known.
std::optional<Step> follow(const Graph& graph,
                           const ::onnx::NodeProto& node,
                           const Layouts& layouts);

}  // namespace muster::tool

// A plan carried out on a model: what is the same on all ranks, and what is not.
#pragma once

#include "shard/graph.h"
#include "shard/plan.h"

#include <string>
#include <vector>

namespace muster::tool {

// A new initializer: each rank's is its section of a constant.
struct Part {
  std::string name;
  const ::onnx::TensorProto* whole = nullptr;
  int dim = 0;
  Sections sections;
};

// A declared extent that is a section's.
struct DeclaredExtent {
  int value_info = 0;  // index
  int dim = 0;
  Sections sections;
};

struct Rewritten {
  ::onnx::ModelProto common;  // all but the parts
  std::vector<Part> parts;    // they refer to `model`
  std::vector<DeclaredExtent> declared;
  bool parts_are_inputs = false;  // before IR 4 every initializer has to be an input too
};

// `graph` and `plan` are those of `model`, which must outlive the result. The result's declared
// inputs and outputs are the model's, under the same names.
Rewritten rewrite(const ::onnx::ModelProto& model, const Graph& graph, const SplitPlan& plan);

}  // namespace muster::tool

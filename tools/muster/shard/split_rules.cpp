#include "shard/split_rules.h"

#include "shard/model.h"

#include <fmt/format.h>
#include <muster/shape.h>

namespace muster::tool {
namespace {

using ::onnx::NodeProto;
using ::onnx::TensorProto;

// One node and its weight, while it is looked at.
struct Subject {
  const Graph& graph;
  const NodeProto& node;
  int weight;  // index of the input

  const TensorProto* constant(int input) const {
    return input < node.input_size() ? graph.constant(node.input(input)) : nullptr;
  }
  bool has(int input) const { return input < node.input_size() && !node.input(input).empty(); }
};

Candidate refuse(const Subject& subject, std::string obstacle) {
  return {subject.weight, std::nullopt, std::move(obstacle)};
}

Candidate split(const Subject& subject, int dim, Layout output) {
  output.extent = subject.constant(subject.weight)->dims(dim);
  return {subject.weight, Step{output, {{subject.weight, dim}}, true}, {}};
}

// A x B: columns of B make columns of the product, whatever A is.
Candidate split_matmul(const Subject& subject) {
  const TensorProto* weight = subject.constant(1);
  if (weight == nullptr) return refuse(subject, "the constant is on the left");
  if (weight->dims_size() < 2) return refuse(subject, "the weight is a vector");
  Layout output;
  output.dimensions = subject.graph.declared_dimensions(subject.node.output(0));
  return split(subject, weight->dims_size() - 1, output);
}

// alpha A' B' + beta C: C is broadcast to the product, so its columns go along if it has any.
Candidate split_gemm(const Subject& subject) {
  const TensorProto* weight = subject.constant(1);
  if (weight == nullptr) return refuse(subject, "the constant is on the left");
  if (weight->dims_size() != 2) return refuse(subject, "the weight is no matrix");
  const int columns = int_attribute(subject.node, "transB", 0) != 0 ? 0 : 1;
  Candidate candidate = split(subject, columns, Layout{-1, 0, 2});
  if (!subject.has(2)) return candidate;

  const TensorProto* addend = subject.constant(2);
  if (addend == nullptr) return refuse(subject, "C is not constant");
  const int last = addend->dims_size() - 1;
  if (last < 0 || addend->dims(last) == 1) return candidate;  // the same for all columns
  if (addend->dims(last) != candidate.step->output.extent) {
    return refuse(subject, "C does not fit the product");
  }
  candidate.step->slices.push_back({2, last});
  return candidate;
}

// The weight's first dimension is the output channels, which are dimension 1 of the output.
Candidate split_conv(const Subject& subject) {
  const TensorProto* weight = subject.constant(1);
  if (weight == nullptr) return refuse(subject, "the weight is not constant");
  if (int_attribute(subject.node, "group", 1) != 1) return refuse(subject, "grouped");
  const int dimensions = weight->dims_size();
  if (dimensions < 3) return refuse(subject, "the weight is no filter");
  Candidate candidate = split(subject, 0, Layout{1 - dimensions, 0, dimensions});
  if (!subject.has(2)) return candidate;

  const TensorProto* bias = subject.constant(2);
  if (bias == nullptr) return refuse(subject, "the bias is not constant");
  if (bias->dims_size() != 1 || bias->dims(0) != candidate.step->output.extent) {
    return refuse(subject, "the bias does not fit the channels");
  }
  candidate.step->slices.push_back({2, 0});
  return candidate;
}

// Rows looked up along an earlier dimension keep the weight's last as their own last.
Candidate split_gather(const Subject& subject) {
  const TensorProto* weight = subject.constant(0);
  if (weight == nullptr) return refuse(subject, "what it looks up in is not constant");
  const int last = weight->dims_size() - 1;
  std::int64_t axis = int_attribute(subject.node, "axis", 0);
  if (axis < 0) axis += weight->dims_size();
  if (last < 1 || axis < 0 || axis >= last) {
    return refuse(subject, "it looks up along the last dimension");
  }
  Layout output;
  output.dimensions = subject.graph.declared_dimensions(subject.node.output(0));
  return split(subject, last, output);
}

// What forbids a split in general, whatever the operator.
std::string obstacle(const Graph& graph, const NodeProto& node, const Candidate& it, int ranks) {
  const TensorProto& weight = *graph.constant(node.input(it.weight));
  const auto dtype = onnx::dtype_of(weight.data_type());
  if (!dtype || !onnx::can_gather(*dtype)) return "elements of this type cannot be gathered";
  for (const Slice& slice : it.step->slices) {
    if (graph.constant(node.input(slice.input))->dims_size() > Shape::max_dimensions) {
      return fmt::format("more than {} dimensions", Shape::max_dimensions);
    }
  }
  if (it.step->output.extent < ranks) return fmt::format("fewer than {} columns", ranks);
  return {};
}

using Rule = Candidate (*)(const Subject&);

struct Operator {
  const char* name;
  Rule rule;
  int weight;    // index of the input where the weight has to be
  int operands;  // of which one constant makes the node a candidate
};

constexpr Operator operators[] = {{"MatMul", split_matmul, 1, 2},
                                  {"Gemm", split_gemm, 1, 2},
                                  {"Conv", split_conv, 1, 2},
                                  {"Gather", split_gather, 0, 1}};

std::optional<Candidate> apply(const Operator& op, const Graph& graph, const NodeProto& node) {
  if (node.input_size() < 2 || node.output_size() != 1) return std::nullopt;  // not valid
  Subject subject{graph, node, op.weight};
  if (graph.is_replaceable(node.input(op.weight))) {
    return refuse(subject, "a graph input, so the caller may replace it");
  }
  if (subject.constant(op.weight) != nullptr) return op.rule(subject);
  for (int input = 0; input < op.operands; ++input) {
    subject.weight = input;
    if (subject.constant(input) != nullptr) return op.rule(subject);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Candidate> find_candidate(const Graph& graph, const NodeProto& node, int ranks) {
  if (!graph.is_standard(node)) return std::nullopt;
  for (const Operator& op : operators) {
    if (node.op_type() != op.name) continue;
    auto candidate = apply(op, graph, node);
    if (!candidate || !candidate->step) return candidate;
    std::string found = obstacle(graph, node, *candidate, ranks);
    if (found.empty()) return candidate;
    return Candidate{candidate->weight, std::nullopt, std::move(found)};
  }
  return std::nullopt;
}

}  // namespace muster::tool

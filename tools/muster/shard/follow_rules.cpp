#include "shard/follow_rules.h"

#include "shard/model.h"

#include <muster/shape.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace muster::tool {
namespace {

using ::onnx::NodeProto;
using ::onnx::TensorProto;

// An operator that works element by element.
struct Elementwise {
  std::string_view name;
  std::int64_t since = 1;  // operator set; before it, it broadcasts in another way or not at all
  // Its first operands are broadcast against each other; what comes behind applies to all elements
  // alike. Negative: all are operands.
  int operands = 1;
};

// clang-format off
constexpr std::array elementwise_operators{
    Elementwise{"Abs"}, Elementwise{"Acos"}, Elementwise{"Acosh"}, Elementwise{"Asin"},
    Elementwise{"Asinh"}, Elementwise{"Atan"}, Elementwise{"Atanh"}, Elementwise{"BitwiseNot"},
    Elementwise{"Cast", 6}, Elementwise{"Ceil"}, Elementwise{"Celu"}, Elementwise{"Clip", 6},
    Elementwise{"Cos"}, Elementwise{"Cosh"}, Elementwise{"Dropout", 7}, Elementwise{"Elu"},
    Elementwise{"Erf"}, Elementwise{"Exp"}, Elementwise{"Floor"}, Elementwise{"Gelu"},
    Elementwise{"HardSigmoid"}, Elementwise{"HardSwish"}, Elementwise{"Identity"},
    Elementwise{"IsInf"}, Elementwise{"IsNaN"}, Elementwise{"LeakyRelu"}, Elementwise{"Log"},
    Elementwise{"Mish"}, Elementwise{"Neg"}, Elementwise{"Not"}, Elementwise{"Reciprocal"},
    Elementwise{"Relu"}, Elementwise{"Round"}, Elementwise{"Selu"}, Elementwise{"Shrink"},
    Elementwise{"Sigmoid"}, Elementwise{"Sign"}, Elementwise{"Sin"}, Elementwise{"Sinh"},
    Elementwise{"Softplus"}, Elementwise{"Softsign"}, Elementwise{"Sqrt"}, Elementwise{"Swish"},
    Elementwise{"Tan"}, Elementwise{"Tanh"}, Elementwise{"ThresholdedRelu"},
    Elementwise{"Add", 7, 2}, Elementwise{"And", 7, 2}, Elementwise{"BitShift", 11, 2},
    Elementwise{"BitwiseAnd", 18, 2}, Elementwise{"BitwiseOr", 18, 2},
    Elementwise{"BitwiseXor", 18, 2}, Elementwise{"Div", 7, 2}, Elementwise{"Equal", 7, 2},
    Elementwise{"Greater", 7, 2}, Elementwise{"GreaterOrEqual", 12, 2}, Elementwise{"Less", 7, 2},
    Elementwise{"LessOrEqual", 12, 2}, Elementwise{"Mod", 10, 2}, Elementwise{"Mul", 7, 2},
    Elementwise{"Or", 7, 2}, Elementwise{"Pow", 7, 2}, Elementwise{"PRelu", 7, 2},
    Elementwise{"Sub", 7, 2}, Elementwise{"Xor", 7, 2}, Elementwise{"Where", 9, 3},
    Elementwise{"Max", 8, -1}, Elementwise{"Mean", 8, -1}, Elementwise{"Min", 8, -1},
    Elementwise{"Sum", 8, -1},
};
// clang-format on

const Elementwise* find_elementwise(const Graph& graph, const NodeProto& node) {
  const auto found = std::ranges::find(elementwise_operators, node.op_type(), &Elementwise::name);
  if (found == elementwise_operators.end() || graph.operator_set() < found->since) return nullptr;
  return &*found;
}

const Layout* find_layout(const Layouts& layouts, const std::string& tensor) {
  const auto found = layouts.find(tensor);
  return found == layouts.end() ? nullptr : &found->second;
}

// The operators that are elementwise only as long as nobody asks for more.
bool stays_elementwise(const NodeProto& node) {
  if (node.op_type() == "Cast") {
    const auto dtype = onnx::dtype_of(static_cast<int>(int_attribute(node, "to", 0)));
    return dtype && onnx::can_gather(*dtype);
  }
  // A third input may switch training on, which draws random numbers.
  if (node.op_type() == "Dropout") return node.input_size() < 3 || node.input(2).empty();
  return true;
}

// The common layout of a node's operands, as they are added one by one.
class Operands {
 public:
  Operands(const Graph& graph, const Layouts& layouts) : graph_(graph), layouts_(layouts) {}

  // All that are split; they must be split alike.
  bool add_split(const std::string& tensor) {
    const Layout* layout = find_layout(layouts_, tensor);
    if (layout == nullptr) return true;
    if (!step_) {
      step_ = Step{*layout, {}};
      return true;
    }
    Layout& output = step_->output;
    if (layout->dim != output.dim || layout->extent != output.extent) return false;
    output.dimensions = layout->dimensions && output.dimensions
                            ? std::optional(std::max(*layout->dimensions, *output.dimensions))
                            : std::nullopt;
    return true;
  }

  // Then the rest: constants, whole where they are the same for all of the split dimension.
  bool add_other(int input, const std::string& tensor) {
    if (tensor.empty() || layouts_.contains(tensor)) return true;
    const TensorProto* constant = graph_.constant(tensor);
    if (constant == nullptr) return false;
    Layout& output = step_->output;
    const int dimensions = constant->dims_size();
    if (output.dimensions) output.dimensions = std::max(*output.dimensions, dimensions);
    const int dim = dimensions + output.dim;
    if (dim < 0 || constant->dims(dim) == 1) return true;
    if (constant->dims(dim) != output.extent || dimensions > Shape::max_dimensions) return false;
    const auto dtype = onnx::dtype_of(constant->data_type());
    if (!dtype || bits(*dtype) < 8) return false;
    step_->slices.push_back({input, dim});
    return true;
  }

  const std::optional<Step>& step() const { return step_; }

 private:
  const Graph& graph_;
  const Layouts& layouts_;
  std::optional<Step> step_;
};

std::optional<Step> follow_elementwise(const Elementwise& op,
                                       const Graph& graph,
                                       const NodeProto& node,
                                       const Layouts& layouts) {
  if (!stays_elementwise(node)) return std::nullopt;
  const int inputs = node.input_size();
  const int operands = op.operands < 0 ? inputs : std::min(op.operands, inputs);
  for (int i = operands; i < inputs; ++i) {
    if (layouts.contains(node.input(i))) return std::nullopt;
  }
  Operands all(graph, layouts);
  for (int i = 0; i < operands; ++i) {
    if (!all.add_split(node.input(i))) return std::nullopt;
  }
  if (!all.step()) return std::nullopt;
  for (int i = 0; i < operands; ++i) {
    if (!all.add_other(i, node.input(i))) return std::nullopt;
  }
  return all.step();
}

// (x - mean) / sqrt(var + epsilon) * scale + b, with a number of each for each channel, which are
// dimension 1. Before version 9 statistics could be those of the batch or of each place.
std::optional<Step> follow_batch_normalization(const Graph& graph,
                                               const NodeProto& node,
                                               const Layouts& layouts) {
  if (graph.operator_set() < 9 || int_attribute(node, "training_mode", 0) != 0) return {};
  const Layout* layout = node.input_size() == 5 ? find_layout(layouts, node.input(0)) : nullptr;
  if (layout == nullptr || !layout->dimensions) return {};
  if (*layout->dimensions + layout->dim != 1) return {};
  Step step{*layout, {}};
  for (int i = 1; i < 5; ++i) {
    const TensorProto* constant = graph.constant(node.input(i));
    if (constant == nullptr || constant->dims_size() != 1) return {};
    const auto dtype = onnx::dtype_of(constant->data_type());
    if (constant->dims(0) != layout->extent || !dtype || bits(*dtype) < 8) return {};
    step.slices.push_back({i, 0});
  }
  return step;
}

bool has_one_output(const NodeProto& node) {
  const auto& outputs = node.output();
  return std::ranges::count_if(outputs, [](auto& name) { return !name.empty(); }) == 1 &&
         !outputs.Get(0).empty();
}

}  // namespace

std::optional<Step> follow(const Graph& graph, const NodeProto& node, const Layouts& layouts) {
  if (!graph.is_standard(node) || !has_one_output(node)) return std::nullopt;
  if (node.op_type() == "BatchNormalization") {
    return follow_batch_normalization(graph, node, layouts);
  }
  const Elementwise* op = find_elementwise(graph, node);
  return op == nullptr ? std::nullopt : follow_elementwise(*op, graph, node, layouts);
}

}  // namespace muster::tool

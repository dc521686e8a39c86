#include "shard/graph.h"

#include "shard/model.h"

namespace muster::tool {
namespace {

using ::onnx::NodeProto;
using ::onnx::TensorProto;

bool is_onnx_domain(const std::string& domain) {
  return domain.empty() || domain == "ai.onnx";
}

// A Constant node's value_float, value_floats, value_int or value_ints as a tensor.
std::optional<TensorProto> as_tensor(const ::onnx::AttributeProto& attribute) {
  TensorProto tensor;
  if (attribute.name() == "value_float" || attribute.name() == "value_floats") {
    tensor.set_data_type(TensorProto::FLOAT);
    *tensor.mutable_float_data() = attribute.floats();
    if (attribute.name() == "value_float") tensor.add_float_data(attribute.f());
  } else if (attribute.name() == "value_int" || attribute.name() == "value_ints") {
    tensor.set_data_type(TensorProto::INT64);
    *tensor.mutable_int64_data() = attribute.ints();
    if (attribute.name() == "value_int") tensor.add_int64_data(attribute.i());
  } else {
    return std::nullopt;
  }
  const int count = tensor.float_data_size() + tensor.int64_data_size();
  if (attribute.name().ends_with('s')) tensor.add_dims(count);
  return tensor;
}

}  // namespace

Graph::Graph(const ::onnx::ModelProto& model) : proto_(model.graph()) {
  for (const auto& import : model.opset_import()) {
    if (is_onnx_domain(import.domain())) operator_set_ = import.version();
  }
  for (const auto& function : model.functions()) {
    if (is_onnx_domain(function.domain())) functions_.insert(function.name());
  }
  // Before IR 4 every initializer had to be an input as well, and engines take it as constant.
  add_initializers(model.ir_version() >= 4);
  for (const auto& node : proto_.node()) {
    add_constant_node(node);
    add_inner_uses(node);
  }
  for (const auto& output : proto_.output()) elsewhere_.insert(output.name());
  add_declared();
}

void Graph::add_initializers(bool inputs_are_replaceable) {
  for (const auto& tensor : proto_.initializer()) constants_.emplace(tensor.name(), &tensor);
  if (!inputs_are_replaceable) return;
  for (const auto& input : proto_.input()) {
    if (constants_.erase(input.name()) != 0) replaceable_.insert(input.name());
  }
}

void Graph::add_constant_node(const NodeProto& node) {
  if (!is_standard(node) || node.op_type() != "Constant" || node.output_size() != 1) return;
  if (const auto* value = find_attribute(node, "value"); value != nullptr && value->has_t()) {
    constants_.emplace(node.output(0), &value->t());
    return;
  }
  for (const auto& attribute : node.attribute()) {
    if (const auto tensor = as_tensor(attribute)) {
      constants_.emplace(node.output(0), &made_.emplace_back(*tensor));
    }
  }
}

void Graph::add_inner_uses(const NodeProto& node) {
  for_each_inner_graph(node, [&](const ::onnx::GraphProto& inner) {
    // A name of the inner graph's own only makes this set larger than it need be.
    for (const auto& output : inner.output()) elsewhere_.insert(output.name());
    for (const auto& user : inner.node()) {
      elsewhere_.insert(user.input().begin(), user.input().end());
    }
  });
}

void Graph::add_declared() {
  for (const auto* values : {&proto_.input(), &proto_.value_info(), &proto_.output()}) {
    for (const auto& value : *values) {
      const auto& type = value.type();
      if (!type.has_tensor_type() || !type.tensor_type().has_shape()) continue;
      declared_dimensions_[value.name()] = type.tensor_type().shape().dim_size();
    }
  }
}

bool Graph::is_standard(const NodeProto& node) const {
  return is_onnx_domain(node.domain()) && !functions_.contains(node.op_type());
}

const TensorProto* Graph::constant(const std::string& tensor) const {
  const auto found = constants_.find(tensor);
  return found == constants_.end() ? nullptr : found->second;
}

std::optional<int> Graph::declared_dimensions(const std::string& tensor) const {
  const auto found = declared_dimensions_.find(tensor);
  if (found == declared_dimensions_.end()) return std::nullopt;
  return found->second;
}

}  // namespace muster::tool

#include "shard/model.h"

#include "exit_status.h"
#include "shard/mapped_file.h"
#include "shard/tensor_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

namespace muster::tool {
namespace {

using ::onnx::AttributeProto;
using ::onnx::GraphProto;
using ::onnx::ModelProto;
using ::onnx::NodeProto;
using ::onnx::SparseTensorProto;
using ::onnx::TensorProto;

using VisitTensor = std::function<void(TensorProto&)>;

void visit_sparse(SparseTensorProto& tensor, const VisitTensor& visit) {
  if (tensor.has_values()) visit(*tensor.mutable_values());
  if (tensor.has_indices()) visit(*tensor.mutable_indices());
}

void visit_graph(GraphProto& graph, const VisitTensor& visit);

void visit_attribute(AttributeProto& attribute, const VisitTensor& visit) {
  if (attribute.has_t()) visit(*attribute.mutable_t());
  for (auto& tensor : *attribute.mutable_tensors()) visit(tensor);
  if (attribute.has_sparse_tensor()) visit_sparse(*attribute.mutable_sparse_tensor(), visit);
  for (auto& tensor : *attribute.mutable_sparse_tensors()) visit_sparse(tensor, visit);
  if (attribute.has_g()) visit_graph(*attribute.mutable_g(), visit);
  for (auto& graph : *attribute.mutable_graphs()) visit_graph(graph, visit);
}

void visit_node(NodeProto& node, const VisitTensor& visit) {
  for (auto& attribute : *node.mutable_attribute()) visit_attribute(attribute, visit);
}

void visit_graph(GraphProto& graph, const VisitTensor& visit) {
  for (auto& tensor : *graph.mutable_initializer()) visit(tensor);
  for (auto& tensor : *graph.mutable_sparse_initializer()) visit_sparse(tensor, visit);
  for (auto& node : *graph.mutable_node()) visit_node(node, visit);
}

ModelProto parse(std::span<const std::byte> bytes) {
  if (bytes.size() > std::numeric_limits<int>::max()) {
    throw Failure(
        "larger than protobuf's 2 GiB; weights beyond that belong into external data files");
  }
  ModelProto model;
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !model.has_graph()) {
    throw Failure("not an ONNX model, or a damaged one");
  }
  return model;
}

// Each name is made once, and before it is used. What graphs inside nodes use is theirs to check.
void check_order(const GraphProto& graph) {
  std::unordered_set<std::string> made = {""};  // an optional input that is left out
  std::unordered_set<std::string> constants;
  for (const auto& input : graph.input()) {
    if (!made.insert(input.name()).second) {
      throw Failure(fmt::format("two inputs are called \"{}\"", input.name()));
    }
  }
  for (const auto& tensor : graph.initializer()) {
    if (!constants.insert(tensor.name()).second) {
      throw Failure(fmt::format("two initializers are called \"{}\"", tensor.name()));
    }
  }
  for (const auto& tensor : graph.sparse_initializer()) constants.insert(tensor.values().name());
  made.insert(constants.begin(), constants.end());
  for (const auto& node : graph.node()) {
    for (const auto& input : node.input()) {
      if (!made.contains(input)) {
        throw Failure(fmt::format(
            "node \"{}\" uses \"{}\", which nothing before it makes", label(node), input));
      }
    }
    for (const auto& output : node.output()) {
      if (!output.empty() && !made.insert(output).second) {
        throw Failure(
            fmt::format("\"{}\" is made twice, again by node \"{}\"", output, label(node)));
      }
    }
  }
  for (const auto& output : graph.output()) {
    if (!made.contains(output.name())) {
      throw Failure(fmt::format("nothing makes the output \"{}\"", output.name()));
    }
  }
}

}  // namespace

ModelProto parse_model(std::span<const std::byte> bytes, const std::filesystem::path& folder) {
  ModelProto model = parse(bytes);
  check_order(model.graph());
  TensorData data(folder);
  for_each_tensor(std::as_const(model), [&](const auto& tensor) { data.check(tensor); });
  return model;
}

ModelProto read_model(const std::filesystem::path& path) {
  const MappedFile file(path);
  try {
    return parse_model(file.bytes(), path.parent_path());
  } catch (const Failure& failure) {
    throw Failure(fmt::format("{}: {}", path.string(), failure.what()));
  }
}

void for_each_tensor(ModelProto& model, const VisitTensor& visit) {
  visit_graph(*model.mutable_graph(), visit);
  for (auto& function : *model.mutable_functions()) {
    for (auto& node : *function.mutable_node()) visit_node(node, visit);
  }
}

void for_each_tensor(const ModelProto& model,
                     const std::function<void(const TensorProto&)>& visit) {
  // The walk itself changes nothing.
  for_each_tensor(const_cast<ModelProto&>(model), VisitTensor(visit));
}

void for_each_inner_graph(const NodeProto& node,
                          const std::function<void(const GraphProto&)>& visit) {
  const auto enter = [&](const GraphProto& graph) {
    visit(graph);
    for (const auto& inner : graph.node()) for_each_inner_graph(inner, visit);
  };
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) enter(attribute.g());
    for (const auto& graph : attribute.graphs()) enter(graph);
  }
}

const AttributeProto* find_attribute(const NodeProto& node, const std::string& name) {
  const auto& attributes = node.attribute();
  const auto found = std::ranges::find(
      attributes, name, [](auto& a) -> auto& { return a.name(); });
  return found == attributes.end() ? nullptr : &*found;
}

std::int64_t int_attribute(const NodeProto& node, const std::string& name, std::int64_t absent) {
  const AttributeProto* attribute = find_attribute(node, name);
  return attribute == nullptr ? absent : attribute->i();
}

std::string label(const NodeProto& node) {
  if (!node.name().empty()) return node.name();
  return node.output().empty() ? node.op_type() : node.output(0);
}

}  // namespace muster::tool

#include <fmt/format.h>
#include <muster/onnx_names.h>

namespace muster::onnx {

void Names::add(const ::onnx::GraphProto& graph) {
  for (const auto* values : {&graph.input(), &graph.output(), &graph.value_info()}) {
    for (const auto& value : *values) tensors_.insert(value.name());
  }
  for (const auto& tensor : graph.initializer()) tensors_.insert(tensor.name());
  for (const auto& tensor : graph.sparse_initializer()) tensors_.insert(tensor.values().name());
  for (const auto& node : graph.node()) add(node);
}

void Names::add(const ::onnx::NodeProto& node) {
  nodes_.insert(node.name());
  tensors_.insert(node.input().begin(), node.input().end());
  tensors_.insert(node.output().begin(), node.output().end());
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) add(attribute.g());
    for (const auto& graph : attribute.graphs()) add(graph);
  }
}

std::string Names::take(Set& names, const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !names.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

}  // namespace muster::onnx

/// @file
/// The names that an ONNX graph uses already.
#pragma once

#include <onnx/onnx-ml.pb.h>

#include <string>
#include <unordered_set>

namespace muster::onnx {

/// Tensors' and nodes' names of a graph and of the graphs inside it: no new one may be among them,
/// since a name inside may not hide one outside. Keeps nothing of the graph.
class Names {
 public:
  explicit Names(const ::onnx::GraphProto& graph) { add(graph); }

  bool has_tensor(const std::string& name) const { return tensors_.contains(name); }
  bool has_node(const std::string& name) const { return nodes_.contains(name); }

  /// `wanted`, or that with a number behind it; taken from then on.
  std::string new_tensor(const std::string& wanted) { return take(tensors_, wanted); }
  std::string new_node(const std::string& wanted) { return take(nodes_, wanted); }

 private:
  using Set = std::unordered_set<std::string>;

  void add(const ::onnx::GraphProto& graph);
  void add(const ::onnx::NodeProto& node);
  static std::string take(Set& names, const std::string& wanted);

  Set tensors_;
  Set nodes_;
};

}  // namespace muster::onnx

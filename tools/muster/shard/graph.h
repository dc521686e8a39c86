// A model's graph, as the analysis asks of it: what is constant, and who uses what.
#pragma once

#include <muster/onnx.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace muster::tool {

// Refers to the model, which must outlive it unchanged.
class Graph {
 public:
  explicit Graph(const ::onnx::ModelProto& model);

  int size() const { return proto_.node_size(); }
  const ::onnx::NodeProto& node(int index) const { return proto_.node(index); }
  const ::onnx::GraphProto& proto() const { return proto_; }

  // Version of ONNX's own operators that the model imports; 0 if it imports none.
  std::int64_t operator_set() const { return operator_set_; }

  // Whether a node is an operator of ONNX's own, and no function of the model that hides it.
  bool is_standard(const ::onnx::NodeProto& node) const;

  // The value of a tensor that no caller and no node can change: an initializer, or a Constant
  // node's value. Otherwise null.
  const ::onnx::TensorProto* constant(const std::string& tensor) const;

  // Whether a tensor is an initializer that the caller may replace, being a graph input too.
  bool is_replaceable(const std::string& tensor) const { return replaceable_.contains(tensor); }

  // Whether somebody other than the nodes of this graph needs a tensor: it is a graph output, or is
  // used by a graph inside a node.
  bool is_used_elsewhere(const std::string& tensor) const { return elsewhere_.contains(tensor); }

  // Number of a tensor's dimensions, where the model says so.
  std::optional<int> declared_dimensions(const std::string& tensor) const;

 private:
  void add_initializers(bool inputs_are_replaceable);
  void add_constant_node(const ::onnx::NodeProto& node);
  void add_inner_uses(const ::onnx::NodeProto& node);
  void add_declared();

  const ::onnx::GraphProto& proto_;
  std::int64_t operator_set_ = 0;
  std::unordered_set<std::string> functions_;  // those that hide an operator of ONNX's own
  std::unordered_map<std::string, const ::onnx::TensorProto*> constants_;
  std::deque<::onnx::TensorProto> made_;  // values of Constant nodes that are no tensors there
  std::unordered_set<std::string> replaceable_;
  std::unordered_set<std::string> elsewhere_;
  std::unordered_map<std::string, int> declared_dimensions_;
};

}  // namespace muster::tool

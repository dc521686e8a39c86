#include "shard/rewrite.h"

#include <muster/onnx_names.h>

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

namespace muster::tool {
namespace {

using ::onnx::GraphProto;
using ::onnx::ModelProto;
using ::onnx::NodeProto;

template <typename List, typename Predicate>
void remove_if(List& list, const Predicate& unwanted) {
  list.erase(std::remove_if(list.begin(), list.end(), unwanted), list.end());
}

class Rewriter {
 public:
  Rewriter(const ModelProto& model, const Graph& graph, const SplitPlan& plan)
      : graph_(graph), plan_(plan), names_(model.graph()), group_(Group::range(plan.ranks)) {
    result_.common = model;
    result_.parts_are_inputs = model.ir_version() < 4;
    target().clear_node();
    for (int i = 0; i < graph.size(); ++i) add(i);
    drop_constants();
    find_declared_extents();
    if (!plan.gathered.empty()) onnx::import_operators(result_.common);
  }

  Rewritten take() { return std::move(result_); }

 private:
  GraphProto& target() { return *result_.common.mutable_graph(); }

  void add(int index) {
    NodeProto node = graph_.node(index);
    const auto step = plan_.steps.find(index);
    if (step == plan_.steps.end()) {
      add_node(std::move(node));
      return;
    }
    if (!step->second.begins) {
      for (auto& input : *node.mutable_input()) input = section_of(input);
    }
    for (const Slice& slice : step->second.slices) {
      std::string& input = *node.mutable_input(slice.input);
      input = part_of(input, slice.dim);
    }
    const std::string whole = node.output(0);
    const bool gathered = plan_.gathered.contains(whole);
    if (gathered) *node.mutable_output(0) = new_section(whole);
    add_node(std::move(node));
    if (gathered) add_gather(whole, step->second.output);
  }

  void add_node(NodeProto&& node) {
    used_.insert(node.input().begin(), node.input().end());
    *target().add_node() = std::move(node);
  }

  // The whole keeps its name, so that whoever uses it need not know of the split.
  std::string new_section(const std::string& whole) {
    return sections_[whole] = names_.new_tensor(whole + "/shard");
  }

  std::string section_of(const std::string& tensor) const {
    const auto found = sections_.find(tensor);
    return found == sections_.end() ? tensor : found->second;
  }

  void add_gather(const std::string& whole, const Layout& layout) {
    const Sections sections(layout.extent, plan_.ranks);
    const bool from_end = layout.dim == -1 || !layout.dimensions;
    add_node(
        onnx::all_gather_node(names_.new_node(whole + "/AllGather"),
                              section_of(whole),
                              whole,
                              group_,
                              from_end ? layout.dim : *layout.dimensions + layout.dim,
                              sections.equal() ? std::vector<std::int64_t>() : sections.sizes()));
  }

  // Each constant is cut once for each dimension, however many nodes use that cut.
  std::string part_of(const std::string& constant, int dim) {
    std::string& name = parts_[{constant, dim}];
    if (name.empty()) {
      name = names_.new_tensor(constant + "/shard");
      const ::onnx::TensorProto& whole = *graph_.constant(constant);
      result_.parts.push_back({name, &whole, dim, Sections(whole.dims(dim), plan_.ranks)});
    }
    return name;
  }

  // Those that were cut, and that nobody uses whole.
  void drop_constants() {
    std::unordered_set<std::string> dropped;
    for (const auto& [part, name] : parts_) {
      const std::string& whole = part.first;
      if (!used_.contains(whole) && !graph_.is_used_elsewhere(whole)) dropped.insert(whole);
    }
    const auto is_dropped = [&](const auto& it) { return dropped.contains(it.name()); };
    remove_if(*target().mutable_initializer(), is_dropped);
    remove_if(*target().mutable_value_info(), is_dropped);
    remove_if(*target().mutable_input(), is_dropped);  // IR 3
    remove_if(*target().mutable_node(), [&](const NodeProto& node) {
      return node.output_size() == 1 && dropped.contains(node.output(0));
    });
  }

  void find_declared_extents() {
    for (int i = 0; i < target().value_info_size(); ++i) {
      const auto& value = target().value_info(i);
      const auto section = plan_.sections.find(value.name());
      if (section == plan_.sections.end() || plan_.gathered.contains(value.name())) continue;
      const auto& type = value.type();
      if (!type.has_tensor_type() || !type.tensor_type().has_shape()) continue;
      const Layout& layout = section->second;
      const int dim = type.tensor_type().shape().dim_size() + layout.dim;
      if (dim < 0) continue;  // not what the tensor is
      result_.declared.push_back({i, dim, Sections(layout.extent, plan_.ranks)});
    }
  }

  const Graph& graph_;
  const SplitPlan& plan_;
  onnx::Names names_;
  Group group_;
  Rewritten result_;
  std::map<std::string, std::string> sections_;               // by the whole's name
  std::map<std::pair<std::string, int>, std::string> parts_;  // by constant and dimension
  std::unordered_set<std::string> used_;
};

}  // namespace

Rewritten rewrite(const ModelProto& model, const Graph& graph, const SplitPlan& plan) {
  return Rewriter(model, graph, plan).take();
}

}  // namespace muster::tool

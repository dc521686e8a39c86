#include "shard/plan.h"

#include "exit_status.h"
#include "shard/follow_rules.h"
#include "shard/model.h"
#include "shard/split_rules.h"
#include "shard/tensor_data.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_set>

namespace muster::tool {
namespace {

using ::onnx::NodeProto;

bool is_wanted(const SplitOptions& options, const NodeProto& node, const Candidate& candidate) {
  if (options.only.empty()) return true;
  return std::ranges::any_of(options.only, [&](const std::string& pattern) {
    const auto matches = [&](const std::string& text) {
      return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
    };
    return matches(label(node)) || matches(node.op_type()) || matches(node.input(candidate.weight));
  });
}

// Why a candidate stays whole; empty if it does not.
std::string reason_to_leave(const Graph& graph,
                            const SplitOptions& options,
                            const NodeProto& node,
                            const Candidate& candidate) {
  if (options.ranks == 1) return "one rank holds all";
  if (!is_wanted(options, node, candidate)) return "not in --only";
  if (!candidate.step) return candidate.obstacle;
  const auto* weight = graph.constant(node.input(candidate.weight));
  if (byte_size(*weight).value_or(0) < options.min_bytes) return "smaller than --min-bytes";
  return {};
}

// The nodes that begin a split, by index.
std::map<int, Step> find_beginnings(const Graph& graph,
                                    const SplitOptions& options,
                                    std::vector<Considered>& considered) {
  std::map<int, Step> beginnings;
  for (int i = 0; i < graph.size(); ++i) {
    auto candidate = find_candidate(graph, graph.node(i), options.ranks);
    if (!candidate) continue;
    std::string reason = reason_to_leave(graph, options, graph.node(i), *candidate);
    if (reason.empty()) beginnings.emplace(i, std::move(*candidate->step));
    considered.push_back({i, candidate->weight, std::move(reason)});
  }
  return beginnings;
}

// Grows the split from its beginnings as far as nodes can follow, in the graph's order.
class Growth {
 public:
  Growth(const Graph& graph, const std::map<int, Step>& beginnings)
      : graph_(graph), beginnings_(beginnings) {
    grow();
    while (stop_behind_gathers()) grow();
  }

  void move_to(SplitPlan& plan) {
    plan.steps = std::move(steps_);
    plan.gathered = std::move(gathered_);
    plan.sections = std::move(sections_);
  }

 private:
  void grow() {
    steps_ = beginnings_;
    sections_.clear();
    for (int i = 0; i < graph_.size(); ++i) {
      if (!beginnings_.contains(i) && !stopped_.contains(i)) {
        if (auto step = follow(graph_, graph_.node(i), sections_)) {
          steps_.emplace(i, std::move(*step));
        }
      }
      if (const auto step = steps_.find(i); step != steps_.end()) {
        sections_.emplace(graph_.node(i).output(0), step->second.output);
      }
    }
    find_gathered();
  }

  void find_gathered() {
    gathered_.clear();
    for (const auto& [tensor, layout] : sections_) {
      if (graph_.is_used_elsewhere(tensor)) gathered_.emplace(tensor, layout);
    }
    for (int i = 0; i < graph_.size(); ++i) {
      const auto step = steps_.find(i);
      if (step != steps_.end() && !step->second.begins) continue;
      for (const auto& input : graph_.node(i).input()) {
        const auto split = sections_.find(input);
        if (split != sections_.end()) gathered_.insert(*split);
      }
    }
  }

  // A node all of whose split inputs are gathered anyway works on the whole, or its own output
  // would be one more to gather.
  bool stop_behind_gathers() {
    const auto before = stopped_.size();
    for (const auto& [i, step] : steps_) {
      if (step.begins) continue;
      const auto& inputs = graph_.node(i).input();
      const bool all_gathered = std::ranges::all_of(inputs, [&](const auto& input) {
        return !sections_.contains(input) || gathered_.contains(input);
      });
      if (all_gathered) stopped_.insert(i);
    }
    return stopped_.size() != before;
  }

  const Graph& graph_;
  const std::map<int, Step>& beginnings_;
  std::set<int> stopped_;
  std::map<int, Step> steps_;
  Layouts sections_;
  Layouts gathered_;
};

// Numbers that are drawn without a seed differ from rank to rank.
bool draws_random_numbers(const NodeProto& node) {
  static const std::unordered_set<std::string_view> random = {"Bernoulli",
                                                              "Multinomial",
                                                              "RandomNormal",
                                                              "RandomNormalLike",
                                                              "RandomUniform",
                                                              "RandomUniformLike"};
  const bool training =
      node.op_type() == "Dropout" && node.input_size() > 2 && !node.input(2).empty();
  return (training || random.contains(node.op_type())) && find_attribute(node, "seed") == nullptr;
}

void check_node(const NodeProto& node) {
  if (node.domain() == onnx::operator_domain) {
    throw Failure(
        fmt::format("node \"{}\" is one of muster's already; shard takes a model that is not split",
                    label(node)));
  }
  if (draws_random_numbers(node)) {
    throw Failure(fmt::format(
        "node \"{}\" ({}) draws random numbers, other ones on each rank; give it a seed",
        label(node),
        node.op_type()));
  }
}

void check_nodes(const Graph& graph) {
  for (const auto& node : graph.proto().node()) {
    check_node(node);
    for_each_inner_graph(node, [](const ::onnx::GraphProto& inner) {
      for (const auto& inner_node : inner.node()) check_node(inner_node);
    });
  }
}

}  // namespace

SplitPlan make_plan(const Graph& graph, const SplitOptions& options) {
  SplitPlan plan;
  plan.ranks = options.ranks;
  const auto beginnings = find_beginnings(graph, options, plan.considered);
  check_nodes(graph);
  Growth(graph, beginnings).move_to(plan);
  return plan;
}

}  // namespace muster::tool

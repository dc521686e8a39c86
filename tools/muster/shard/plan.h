// What is split, what follows, and what is gathered: decided once, the same for all ranks.
#pragma once

#include "shard/graph.h"
#include "shard/step.h"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace muster::tool {

struct SplitOptions {
  int ranks = 0;
  // Shell wildcards for nodes' names, operators or weights; empty: all nodes.
  std::vector<std::string> only{};
  std::size_t min_bytes = 0;  // smaller weights stay whole
};

// A node that was considered, for the report.
struct Considered {
  int node = 0;              // index
  int weight = 0;            // index of the input
  std::string left_because;  // empty: it is split
};

struct SplitPlan {
  int ranks = 0;
  std::map<int, Step> steps;  // by the node's index; all others work on whole tensors
  Layouts sections;           // what those nodes make
  Layouts gathered;           // those among them that somebody needs whole
  std::vector<Considered> considered;
};

// Throws Failure when the model cannot be split without changing what it computes (it draws random
// numbers, which would be others on each rank), or has nodes of muster already.
SplitPlan make_plan(const Graph& graph, const SplitOptions& options);

}  // namespace muster::tool

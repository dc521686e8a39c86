// What a split does, for people and for programs.
#pragma once

#include "shard/graph.h"
#include "shard/plan.h"
#include "shard/rewrite.h"

#include <nlohmann/json.hpp>

namespace muster::tool {

// Everything that is printed: the candidates, what becomes of each, and the sums in bytes.
nlohmann::ordered_json make_report(const ::onnx::ModelProto& model,
                                   const Graph& graph,
                                   const SplitPlan& plan,
                                   const Rewritten& rewritten);

// As a table on stdout.
void print_table(const nlohmann::ordered_json& report);

}  // namespace muster::tool

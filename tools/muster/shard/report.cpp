#include "shard/report.h"

#include "printable.h"
#include "shard/model.h"
#include "shard/tensor_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

namespace muster::tool {
namespace {

using Json = nlohmann::ordered_json;
using ::onnx::ModelProto;
using ::onnx::NodeProto;
using ::onnx::TensorProto;

// A rank's bytes of a constant that is cut along a dimension.
std::size_t section_bytes(const TensorProto& whole, int dim, const Sections& sections, int rank) {
  const auto extent = static_cast<std::size_t>(whole.dims(dim));
  if (extent == 0) return 0;
  return byte_size(whole).value_or(0) / extent * static_cast<std::size_t>(sections.size(rank));
}

std::string dtype_name(const TensorProto& tensor) {
  const auto dtype = onnx::dtype_of(tensor.data_type());
  return dtype ? std::string(to_string(*dtype)) : fmt::format("type {}", tensor.data_type());
}

Json to_json(const Graph& graph, const SplitPlan& plan, const Considered& considered) {
  const NodeProto& node = graph.node(considered.node);
  const std::string& name = node.input(considered.weight);
  const TensorProto* weight = graph.constant(name);
  Json row = {{"node", label(node)}, {"operator", node.op_type()}, {"weight", name}};
  const auto step = plan.steps.find(considered.node);
  if (step == plan.steps.end()) row["left_because"] = considered.left_because;
  if (weight == nullptr) return row;  // the caller's, so nothing is known of it
  row["shape"] = std::vector<std::int64_t>(weight->dims().begin(), weight->dims().end());
  row["dtype"] = dtype_name(*weight);
  row["bytes"] = byte_size(*weight).value_or(0);
  if (step == plan.steps.end()) return row;
  const int dim = step->second.slices.front().dim;
  const Sections sections(weight->dims(dim), plan.ranks);
  row["dim"] = dim;
  row["sizes"] = sections.sizes();
  for (int rank = 0; rank < plan.ranks; ++rank) {
    row["bytes_by_rank"].push_back(section_bytes(*weight, dim, sections, rank));
  }
  return row;
}

std::size_t tensor_bytes(const ModelProto& model) {
  std::size_t sum = 0;
  for_each_tensor(model, [&](const TensorProto& it) { sum += byte_size(it).value_or(0); });
  return sum;
}

// Weights of an operator that is split elsewhere, but not inside other nodes.
int count_inner_candidates(const Graph& graph) {
  int count = 0;
  for (const auto& node : graph.proto().node()) {
    for_each_inner_graph(node, [&](const ::onnx::GraphProto& inner) {
      count += static_cast<int>(std::ranges::count_if(inner.node(), [](const NodeProto& it) {
        return it.op_type() == "MatMul" || it.op_type() == "Gemm" || it.op_type() == "Conv" ||
               it.op_type() == "Gather";
      }));
    });
  }
  return count;
}

Json sums(const ModelProto& model, const SplitPlan& plan, const Rewritten& rewritten) {
  const std::size_t before = tensor_bytes(model);
  const std::size_t common = tensor_bytes(rewritten.common);
  std::vector<std::size_t> by_rank(static_cast<std::size_t>(plan.ranks), common);
  for (const Part& part : rewritten.parts) {
    for (int rank = 0; rank < plan.ranks; ++rank) {
      by_rank[static_cast<std::size_t>(rank)] +=
          section_bytes(*part.whole, part.dim, part.sections, rank);
    }
  }
  return {{"weights", before}, {"on_every_rank", common}, {"by_rank", by_rank}};
}

// Mebibytes and the like, in four characters or so.
std::string human(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = larger;
  }
  return fmt::format("{:.{}f} {}", bytes, bytes < 10 && *unit != 'B' ? 1 : 0, unit);
}

std::string human(const Json& bytes) {
  return human(bytes.get<double>());
}

// The end of a name, which tells more than its beginning.
std::string shortened(const std::string& name, std::size_t width) {
  std::string text = printable(name);
  if (text.size() <= width) return text;
  std::size_t begin = text.size() - width + 3;
  while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) ++begin;  // inside a character
  return "..." + text.substr(begin);
}

std::string split_text(const Json& row) {
  if (row.contains("left_because")) {
    return "left whole: " + row["left_because"].get<std::string>();
  }
  const auto sizes = row["sizes"].get<std::vector<std::int64_t>>();
  const auto [least, most] = std::ranges::minmax(sizes);
  const std::string extents = least == most      ? fmt::format("{} x {}", sizes.size(), least)
                              : sizes.size() > 4 ? fmt::format("{} to {}", least, most)
                                                 : fmt::format("{}", fmt::join(sizes, "+"));
  return fmt::format("dim {}: {}", row["dim"].get<int>(), extents);
}

std::string bytes_text(const Json& row) {
  if (!row.contains("bytes_by_rank")) return row.contains("bytes") ? human(row["bytes"]) : "";
  const auto by_rank = row["bytes_by_rank"].get<std::vector<double>>();
  return human(*std::ranges::max_element(by_rank));
}

void print_row(const Json& row) {
  const std::string shape =
      row.contains("shape")
          ? fmt::format("{} {}", row["shape"].dump(), row["dtype"].get<std::string>())
          : "";
  fmt::print("{:<32} {:<7} {:<32} {:<22} {:>9}  {:>9}  {}\n",
             shortened(row["node"], 32),
             row["operator"].get<std::string>(),
             shortened(row["weight"], 32),
             shape,
             row.contains("bytes") ? human(row["bytes"]) : "",
             bytes_text(row),
             split_text(row));
}

}  // namespace

Json make_report(const ModelProto& model,
                 const Graph& graph,
                 const SplitPlan& plan,
                 const Rewritten& rewritten) {
  Json report = {{"ranks", plan.ranks}, {"nodes", Json::array()}};
  for (const Considered& it : plan.considered) report["nodes"].push_back(to_json(graph, plan, it));
  report["inner_nodes_left"] = count_inner_candidates(graph);
  report["gathers"] = plan.gathered.size();
  report["bytes"] = sums(model, plan, rewritten);
  return report;
}

void print_table(const Json& report) {
  fmt::print("{:<32} {:<7} {:<32} {:<22} {:>9}  {:>9}  {}\n",
             "node",
             "op",
             "weight",
             "shape",
             "bytes",
             "a rank",
             "split");
  std::size_t split = 0;
  for (const Json& row : report["nodes"]) {
    print_row(row);
    split += row.contains("sizes") ? 1 : 0;
  }
  const int inner = report["inner_nodes_left"].get<int>();
  if (inner > 0) fmt::print("{} nodes inside If, Loop or Scan are left whole\n", inner);
  const auto by_rank = report["bytes"]["by_rank"].get<std::vector<double>>();
  fmt::print("{} of {} nodes split over {} ranks, {} AllGather nodes added\n",
             split,
             report["nodes"].size(),
             report["ranks"].get<int>(),
             report["gathers"].get<std::size_t>());
  fmt::print("weights in memory: {} unsplit, at most {} a rank; {} of that on every rank\n",
             human(report["bytes"]["weights"]),
             human(*std::ranges::max_element(by_rank)),
             human(report["bytes"]["on_every_rank"]));
}

}  // namespace muster::tool

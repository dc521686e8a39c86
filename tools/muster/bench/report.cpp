#include "bench/report.h"

#include "exit_status.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace muster::tool {
namespace {

using Json = nlohmann::ordered_json;

struct Bandwidth {
  double algorithm = 0;  // GB/s: the whole output by the time
  double bus = 0;        // GB/s: without the part that a rank has already
};

Bandwidth bandwidth(const GatherCase& gather, double seconds) {
  const double algorithm = static_cast<double>(gather.plan.output_bytes()) / seconds / 1e9;
  return {algorithm, algorithm * (gather.ranks() - 1) / gather.ranks()};
}

// Extents; a list of the ranks' extents in the place of one that they do not share.
Json shape_json(const GatherCase& gather) {
  Json shape = gather.shards[0].extents();
  if (gather.equal()) return shape;
  const int dim = gather.plan.gather_dim();
  Json along = Json::array();
  for (const Shape& shard : gather.shards) along.push_back(shard[dim]);
  shape[static_cast<std::size_t>(dim)] = along;
  return shape;
}

Json to_json(const GatherCase& gather, const Row& row) {
  const Bandwidth rate = bandwidth(gather, row.timing.median);
  return {{"impl", row.impl},
          {"transport", row.transport},
          {"placement", row.placement},
          {"ranks", gather.ranks()},
          {"shape", shape_json(gather)},
          {"dtype", to_string(gather.dtype)},
          {"dim", gather.plan.gather_dim()},
          {"bytes_per_rank", gather.bytes_per_rank()},
          {"time_us_median", row.timing.median * 1e6},
          {"time_us_p99", row.timing.p99 * 1e6},
          {"algbw_gbs", rate.algorithm},
          {"busbw_gbs", rate.bus},
          {"wrong", row.wrong}};
}

}  // namespace

void Report::note(const std::string& text) const {
  fmt::print(json_ ? stderr : stdout, "# {}\n", text);
}

void Report::heading() const {
  if (json_) return;
  fmt::print("#{:>11} {:>11} {:>9} {:>3}  {:<20} {:<20} {:>10} {:>10} {:>7} {:>7} {:>6} {:>9}\n",
             "size",
             "count",
             "type",
             "dim",
             "shape",
             "impl",
             "time",
             "p99",
             "algbw",
             "busbw",
             "#wrong",
             "muster/it");
  fmt::print("#{:>11} {:>11} {:>9} {:>3}  {:<20} {:<20} {:>10} {:>10} {:>7} {:>7}\n",
             "(B)",
             "(elements)",
             "",
             "",
             "(a rank)",
             "",
             "(us)",
             "(us)",
             "(GB/s)",
             "(GB/s)");
}

void Report::rows(const GatherCase& gather, const std::vector<Row>& rows) const {
  for (const Row& row : rows) {
    if (json_) {
      fmt::print("{}\n", to_json(gather, row).dump());
      continue;
    }
    const Bandwidth rate = bandwidth(gather, row.timing.median);
    fmt::print(
        "{:>12} {:>11} {:>9} {:>3}  {:<20} {:<20} {:>10.2f} {:>10.2f} {:>7.2f} {:>7.2f} "
        "{:>6} {:>9.2f}\n",
        gather.plan.output_bytes(),
        gather.plan.output_shape().elements() / gather.ranks(),
        to_string(gather.dtype),
        gather.plan.gather_dim(),
        gather.shape_text(),
        row.impl + " " + row.placement,
        row.timing.median * 1e6,
        row.timing.p99 * 1e6,
        rate.algorithm,
        rate.bus,
        row.wrong,
        rows.front().timing.median / row.timing.median);
  }
  if (std::fflush(stdout) == 0) return;
  const int error = errno;
  std::clearerr(stdout);  // to be told of once
  throw Failure(fmt::format("cannot write to stdout: {}", strerror(error)));
}

}  // namespace muster::tool

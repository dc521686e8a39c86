#include "bench/create.h"

#include "bench/measure.h"
#include "bench/team.h"
#include "exit_status.h"

#include <fmt/format.h>
#include <muster/muster.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>

namespace muster::tool {
namespace {

struct Cost {
  double seconds;        // of the slowest rank
  double control_bytes;  // of all ranks
};

Cost create_once(World& world, Team& team) {
  using Clock = std::chrono::steady_clock;
  team.barrier();
  const auto start = Clock::now();
  const Communicator communicator(world, Group::range(world.size()), {.tag = "bench/create"});
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return {team.max(seconds), team.sum(static_cast<double>(communicator.control_bytes()))};
}

void print(const BenchOptions& options, const Timing& timing, double control_bytes) {
  const nlohmann::ordered_json row = {{"ranks", options.ranks},
                                      {"time_us_median", timing.median * 1e6},
                                      {"time_us_p99", timing.p99 * 1e6},
                                      {"control_bytes", static_cast<std::size_t>(control_bytes)}};
  if (options.json) {
    fmt::print("{}\n", row.dump());
    return;
  }
  fmt::print("# making a communicator of all ranks; control memory summed over them\n");
  fmt::print("#{:>7} {:>12} {:>12} {:>14}\n", "ranks", "time (us)", "p99 (us)", "control (B)");
  fmt::print("{:>8} {:>12.2f} {:>12.2f} {:>14.0f}\n",
             options.ranks,
             timing.median * 1e6,
             timing.p99 * 1e6,
             control_bytes);
}

}  // namespace

int bench_create(World& world, const BenchOptions& options) {
  Team team(world);
  Cost cost = create_once(world, team);  // warms up
  std::vector<double> samples;
  for (Rounds rounds(team, options.budget); rounds.next();) {
    cost = create_once(world, team);
    samples.push_back(cost.seconds);
  }
  if (world.rank() == 0) print(options, summarize(samples), cost.control_bytes);
  return exit_success;
}

}  // namespace muster::tool

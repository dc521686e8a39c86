#include "bench/all_gather.h"

#include "bench/progress.h"
#include "bench/report.h"
#include "exit_status.h"
#include "machine/memory.h"
#include "machine/processor.h"

#include <fmt/format.h>
#include <muster/version.h>

#include <optional>

namespace muster::tool {
namespace {

std::vector<Contender> make_contenders(Workspace& workspace,
                                       const BenchOptions& options,
                                       const Peers& peers) {
  std::vector<Contender> contenders;
  for (const std::string& placement : options.placements) {
    contenders.push_back(make_muster(workspace, placement));
  }
  if (options.is_against("memcpy")) contenders.push_back(make_memcpy(workspace));
  if (peers.make) {
    for (Contender& contender : peers.make(workspace)) contenders.push_back(std::move(contender));
  }
  return contenders;
}

std::vector<Row> measure_case(Workspace& workspace,
                              const BenchOptions& options,
                              const Peers& peers) {
  std::vector<Contender> contenders = make_contenders(workspace, options, peers);
  const auto timings = measure(workspace.team(), contenders, options.budget);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    Contender& contender = contenders[i];
    rows.push_back({contender.impl,
                    contender.transport,
                    contender.placement,
                    timings[i],
                    verify(workspace.team(), contender)});
  }
  return rows;
}

// Why a case cannot be measured, if so. Rank 0 decides: what is available changes as ranks look.
std::optional<std::string> lack_of_memory(Team& team,
                                          const BenchOptions& options,
                                          const GatherCase& gather) {
  const double needed = static_cast<double>(needed_memory(options, gather));
  const double available = team.from_first(static_cast<double>(available_memory()));
  if (needed <= available) return std::nullopt;
  constexpr double MiB = 1 << 20;
  return fmt::format("{} needs {:.0f} MiB, {:.0f} are available",
                     gather.shape_text(),
                     needed / MiB,
                     available / MiB);
}

void introduce(const Report& report, const BenchOptions& options, const Peers& peers) {
  report.note(fmt::format("muster " MUSTER_VERSION ", {}, {} usable cores of {}, {} ranks as {}",
                          cpu_model(),
                          usable_cores(),
                          online_cores(),
                          options.ranks,
                          options.ranks_as));
  if (!peers.version.empty()) report.note(peers.version);
  report.heading();
}

}  // namespace

int bench_all_gather(World& world, const BenchOptions& options, const Peers& peers) {
  Team team(world);
  const bool first = world.rank() == 0;
  const Report report(options.json);
  const auto cases = make_cases(options);
  if (first) introduce(report, options, peers);

  const Progress progress(first && options.progress, cases.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const GatherCase& gather = cases[i];
    if (const auto lack = lack_of_memory(team, options, gather)) {
      if (cases.size() == 1) throw Failure(*lack);
      progress.clear();
      if (first) report.note("left out: " + *lack);
      continue;
    }
    if (first) progress.show(i, gather.shape_text());
    Workspace workspace(world, team, gather);
    const auto rows = measure_case(workspace, options, peers);
    for (const Row& row : rows) wrong += row.wrong;
    progress.clear();
    if (first) report.rows(gather, rows);
  }
  return wrong == 0 ? exit_success : exit_wrong;
}

}  // namespace muster::tool

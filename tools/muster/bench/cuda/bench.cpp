#include "bench/cuda/bench.h"

#include "bench/cuda/contenders.h"
#include "bench/pattern.h"
#include "bench/report.h"
#include "exit_status.h"

#include <fmt/format.h>
#include <muster/muster.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

namespace muster::tool {
namespace {

// Calls in a graph: enough that the launch of the graph does not count.
constexpr int fewest_calls = 20;

using Clock = std::chrono::steady_clock;

// Launches that wait for the GPU at a time, when it is the host's time that counts: so few that no
// queue is full.
constexpr int most_in_flight = 200;

// Runs a contender's calls on the rank's stream: as a graph, or one after the other.
class Runner {
 public:
  Runner(const GpuRank& rank, const std::string& launch) : rank_(rank), launch_(launch) {
    require_cuda(cudaEventCreate(&begin_), "making an event");
    require_cuda(cudaEventCreate(&end_), "making an event");
  }
  ~Runner() {
    for (const auto& [key, graph] : captured_) cudaGraphExecDestroy(graph);
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Seconds a call, of the slowest rank.
  double time(Team& team, Contender& contender, int calls) {
    if (launch_ == "host") return time_on_host(team, contender, calls);
    // All ranks have to prepare before any launches: what waits for a peer's kernel could hold up
    // that peer's preparations on the same GPU.
    const cudaGraphExec_t graph = launch_ == "graph" ? captured(contender, calls) : nullptr;
    team.barrier();
    require_cuda(cudaEventRecord(begin_, rank_.stream()), "recording an event");
    if (graph != nullptr) {
      require_cuda(cudaGraphLaunch(graph, rank_.stream()), "launching a graph");
    } else {
      for (int i = 0; i < calls; ++i) contender.call();
    }
    require_cuda(cudaEventRecord(end_, rank_.stream()), "recording an event");
    rank_.wait();
    float milliseconds = 0;
    require_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "reading an event");
    return team.max(milliseconds * 1e-3) / calls;
  }

 private:
  // Until a call returns, whenever the GPU runs it.
  double time_on_host(Team& team, Contender& contender, int calls) {
    std::chrono::duration<double> launching{};
    team.barrier();
    for (int done = 0; done < calls; done += most_in_flight) {
      const auto began = Clock::now();
      for (int i = done; i < std::min(calls, done + most_in_flight); ++i) contender.call();
      launching += Clock::now() - began;
      rank_.wait();
    }
    return team.max(launching.count()) / calls;
  }

  cudaGraphExec_t captured(Contender& contender, int calls) {
    cudaGraphExec_t& executable = captured_[{&contender, calls}];
    if (executable != nullptr) return executable;
    cudaGraph_t graph = nullptr;
    require_cuda(cudaStreamBeginCapture(rank_.stream(), cudaStreamCaptureModeThreadLocal),
                 "capturing a graph");
    for (int i = 0; i < calls; ++i) contender.call();
    require_cuda(cudaStreamEndCapture(rank_.stream(), &graph), "capturing a graph");
    require_cuda(cudaGraphInstantiate(&executable, graph, 0), "making a graph");
    require_cuda(cudaGraphDestroy(graph), "making a graph");
    require_cuda(cudaGraphUpload(executable, rank_.stream()), "uploading a graph");
    rank_.wait();
    return executable;
  }

  const GpuRank& rank_;
  const std::string launch_;  // "graph", "plain" or "host"
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  std::map<std::pair<const Contender*, int>, cudaGraphExec_t> captured_;
};

// Gathers fresh random data over poisoned outputs; the number of wrong bytes over all ranks.
std::size_t verify_on_gpu(const GpuRank& rank, Team& team, Contender& contender) {
  const double random = std::random_device()();
  const auto seed = static_cast<std::uint64_t>(team.from_first(random));
  std::vector<std::byte> source(contender.source.size());
  std::vector<std::byte> output(contender.output.size());
  const auto copy = [&](void* to, const void* from, std::size_t bytes) {
    require_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, rank.stream()), "copying");
    rank.wait();
  };
  fill(source, seed, team.rank());
  poison(output, contender.plan, seed);
  copy(contender.source.data(), source.data(), source.size());
  copy(contender.output.data(), output.data(), output.size());
  team.barrier();  // nobody poisons what a peer has written
  contender.call();
  rank.wait();
  team.barrier();  // contenders that do not wait have written all by now
  copy(output.data(), contender.output.data(), output.size());
  return static_cast<std::size_t>(
      team.sum(static_cast<double>(count_wrong(output, contender.plan, seed))));
}

std::vector<Contender> make_contenders(const GpuWorkspace& workspace,
                                       const BenchOptions& options,
                                       const std::optional<Nccl>& nccl) {
  std::vector<Contender> contenders;
  for (const std::string& placement : options.placements) {
    contenders.push_back(make_muster_on_gpu(workspace, placement));
  }
  if (options.is_against("memcpy")) {
    for (Contender& limit : make_limits_on_gpu(workspace)) contenders.push_back(std::move(limit));
  }
  if (nccl) {
    for (Contender& rival : nccl->contenders(workspace)) contenders.push_back(std::move(rival));
  }
  return contenders;
}

std::vector<Row> measure_case(const GpuRank& rank,
                              Team& team,
                              const GatherCase& gather,
                              const BenchOptions& options,
                              const std::optional<Nccl>& nccl) {
  const auto source = rank.allocate(gather.shard_bytes(rank.world().rank()));
  const auto output = rank.allocate(gather.plan.output_bytes());
  const GpuWorkspace workspace{rank,
                               team,
                               gather,
                               {source.get(), gather.shard_bytes(rank.world().rank())},
                               {output.get(), gather.plan.output_bytes()}};
  std::vector<Contender> contenders = make_contenders(workspace, options, nccl);
  std::vector<Timing> timings;
  {
    Runner runner(rank, options.launch);
    timings = measure(
        team,
        contenders,
        options.budget,
        fewest_calls,
        [&](Team& t, Contender& contender, int calls) { return runner.time(t, contender, calls); });
  }
  std::vector<Row> rows;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    Contender& contender = contenders[i];
    rows.push_back({contender.impl,
                    contender.transport,
                    contender.placement,
                    timings[i],
                    verify_on_gpu(rank, team, contender)});
  }
  team.barrier();  // nobody frees what a peer still uses
  return rows;
}

// Why a case cannot be measured, if so. Rank 0 decides: what is free changes as ranks look.
std::optional<std::string> lack_of_memory(const GpuRank& rank,
                                          Team& team,
                                          const BenchOptions& options,
                                          const GatherCase& gather) {
  const double needed = static_cast<double>(needed_memory(options, gather)) + 64e6 * gather.ranks();
  std::size_t free = 0;
  std::size_t total = 0;
  require_cuda(cudaMemGetInfo(&free, &total), "asking for free memory");
  const double available = team.from_first(static_cast<double>(free));
  if (needed * rank.ranks_sharing() / gather.ranks() <= available) return std::nullopt;
  return fmt::format("{} needs {:.0f} MiB of a GPU, {:.0f} are free",
                     gather.shape_text(),
                     needed / (1 << 20),
                     available / (1 << 20));
}

std::string describe_launch(const std::string& launch) {
  if (launch == "graph") return "graph replay";
  return launch == "plain" ? "plain launches" : "plain launches, time of the host";
}

void introduce(const Report& report, const GpuRank& rank, const BenchOptions& options) {
  cudaDeviceProp properties{};
  int driver = 0;
  require_cuda(cudaGetDeviceProperties(&properties, rank.ordinal()), "asking for a device");
  require_cuda(cudaDriverGetVersion(&driver), "asking for the driver");
  report.note(fmt::format("muster " MUSTER_VERSION
                          ", {} (CUDA driver {}.{}), {} ranks as {}, {} of "
                          "them on a GPU, {}",
                          properties.name,
                          driver / 1000,
                          driver % 1000 / 10,
                          options.ranks,
                          options.ranks_as,
                          rank.ranks_sharing(),
                          describe_launch(options.launch)));
}

}  // namespace

void prepare_for_cuda() {
  // Each stream its own queue, and no module loaded while a kernel waits for this rank.
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  ::setenv("CUDA_MODULE_LOADING", "EAGER", 0);
  // NCCL's, from 2.30 on: several ranks on a GPU, for which it has no multicast.
  ::setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 0);
}

int bench_all_gather_on_gpus(World& world, const BenchOptions& options) {
  const GpuRank rank(world);
  Team team(world);
  const bool first = world.rank() == 0;
  const Report report(options.json);
  if (first) introduce(report, rank, options);
  std::optional<Nccl> nccl;
  if (options.is_against("nccl")) {
    nccl.emplace(rank);
    if (first) report.note(nccl->note());
  }
  if (first) report.heading();

  const auto cases = make_cases(options);
  std::size_t wrong = 0;
  for (const GatherCase& gather : cases) {
    if (const auto lack = lack_of_memory(rank, team, options, gather)) {
      if (cases.size() == 1) throw Failure(*lack);
      if (first) report.note("left out: " + *lack);
      continue;
    }
    const auto rows = measure_case(rank, team, gather, options, nccl);
    for (const Row& row : rows) wrong += row.wrong;
    if (first) report.rows(gather, rows);
  }
  return wrong == 0 ? exit_success : exit_wrong;
}

}  // namespace muster::tool

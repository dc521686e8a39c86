// `muster bench`
#include "bench/all_gather.h"
#include "bench/create.h"
#include "bench/cuda/bench.h"
#include "bench/mpi_launch.h"
#include "bench/options.h"
#include "commands.h"
#include "exit_status.h"
#include "launch/launcher.h"
#include "machine/gpu.h"
#include "machine/processor.h"

#include <fmt/format.h>
#include <muster/muster.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

using RankMain = std::function<int(World&, const BenchOptions&)>;

fs::path own_path() {
  return fs::read_symlink("/proc/self/exe");
}

int run_as_rank(const RankMain& rank_main, BenchOptions options, bool ranks_given) {
  World world = World::join();
  if (ranks_given && options.ranks != world.size()) {
    throw Failure(fmt::format("bench: -n {} in a job of {} ranks", options.ranks, world.size()));
  }
  options.ranks = world.size();
  return rank_main(world, options);
}

int run_as_threads(const RankMain& rank_main, const BenchOptions& options) {
  std::vector<std::jthread> threads;
  int status = exit_success;
  for (World& joined : World::threads(options.ranks)) {
    threads.emplace_back([&, world = std::move(joined)]() mutable {
      try {
        const int mine = rank_main(world, options);
        if (world.rank() == 0) status = mine;
      } catch (const std::exception& error) {
        fmt::print(stderr, "muster: rank {}: {}\n", world.rank(), error.what());
        std::_Exit(exit_failed);  // the other ranks would wait for this one
      }
    });
  }
  threads.clear();  // joins
  return status;
}

int run_as_processes(const LaunchOptions& options) {
  const LaunchResult result = launch(options);
  if (!result.first_failed) return exit_success;
  const RankResult& rank = result.ranks[static_cast<std::size_t>(*result.first_failed)];
  if (rank.signal == 0) return rank.status;  // it has said why
  throw Failure("bench: " + describe(*result.first_failed, rank), rank.status);
}

int run_under_mpiexec(const LaunchOptions& options) {
  const LaunchResult result = launch(options);
  if (result.reader_left) {  // which would have killed a rank without mpiexec between
    const RankResult killed{.status = exit_signal + SIGPIPE, .signal = SIGPIPE};
    throw Failure("bench: " + describe(0, killed), killed.status);
  }
  const int status = result.status;
  if (status == exit_wrong_under_mpi) return exit_wrong;
  if (status == exit_success) return exit_success;
  if (const auto signal = result.ending_signal) {  // mpiexec's status is its own affair
    const RankResult killed{.status = exit_signal + *signal, .signal = *signal};
    throw Failure("bench: " + describe(0, killed), killed.status);
  }
  if (status == exit_failed) return exit_failed;  // a rank has said why
  throw Failure(fmt::format("bench: mpiexec ended with status {}", status),
                status == exit_wrong ? int{exit_failed} : status);
}

// Beside this program in a build folder, in the folder for such programs once installed.
fs::path find_mpi_bench() {
  const fs::path folder = own_path().parent_path();
  for (const char* place : {"muster-bench-mpi", MUSTER_LIBEXEC_FROM_BIN "/muster-bench-mpi"}) {
    if (fs::exists(folder / place)) return folder / place;
  }
  throw Failure("bench: muster-bench-mpi is not installed");
}

// mpiexec does not say whether it could write. On a terminal it can, and rows that took a way of
// their own would mix with the progress bar.
RankOutput mpi_output() {
  return ::isatty(STDOUT_FILENO) == 1 ? RankOutput::inherited : RankOutput::stdout_lines;
}

LaunchOptions under_mpiexec(const BenchOptions& options,
                            const std::vector<std::string>& arguments) {
  const auto mpi = mpi_installation();
  if (!mpi) throw Failure("bench: this muster was built without MPI");
  LaunchOptions launch{
      .ranks = 1,
      .command = {mpi->mpiexec, "-n", std::to_string(options.ranks), find_mpi_bench()},
      .output = mpi_output()};
  // Its ranks' stderr is a pipe.
  launch.command.emplace_back(options.progress ? "--progress" : "--no-progress");
  launch.command.insert(launch.command.end(), arguments.begin(), arguments.end());
  // What Open MPI 4 and 5 take as options; the environment does not disturb another MPI.
  launch.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                        {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                        {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                        {"OMPI_MCA_hwloc_base_binding_policy", "none"},
                        {"PRTE_ALLOW_RUN_AS_ROOT", "1"},
                        {"PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                        {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
                        {"PRTE_MCA_hwloc_default_binding_policy", "none"}};
  if (options.ranks > usable_cores()) {
    launch.environment.emplace_back("OMPI_MCA_mpi_yield_when_idle", "1");
  }
  return launch;
}

LaunchOptions as_own_ranks(const BenchOptions& options, const std::vector<std::string>& arguments) {
  LaunchOptions launch{
      .ranks = options.ranks, .command = {own_path().string()}, .output = RankOutput::inherited};
  launch.command.insert(launch.command.end(), arguments.begin(), arguments.begin() + 2);
  // A rank's own group is never a terminal's foreground.
  launch.command.emplace_back(options.progress ? "--progress" : "--no-progress");
  launch.command.insert(launch.command.end(), arguments.begin() + 2, arguments.end());
  return launch;
}

bool is_rank() {
  return std::getenv("MUSTER_RANK") != nullptr;
}

Command add_all_gather(CLI::App& app, const std::vector<std::string>& arguments) {
  const auto options = std::make_shared<BenchOptions>();
  add_all_gather_options(app, *options);
  app.footer(
      "Without --shape: 1 KiB to 256 MiB a rank, dimension 0 and inner ones, equal and unequal\n"
      "sections; cases that do not fit in memory are left out. Exit status 1: wrong bytes.\n\n"
      "Example:\n  muster bench all_gather -n 2 --shape 8,64128 --dim -1 --against mpi,memcpy");
  return [options, &app, arguments] {
    const bool gpus = options->device == "cuda";
    const RankMain rank_main = [gpus](World& world, const BenchOptions& o) {
      return gpus ? bench_all_gather_on_gpus(world, o) : bench_all_gather(world, o);
    };
    if (gpus) prepare_for_cuda();
    const bool threads = options->ranks_as == "threads", mpi = options->is_against("mpi");
    if (gpus && mpi) throw Failure("bench: on GPUs muster is measured against nccl, not mpi");
    if (!gpus && options->is_against("nccl")) throw Failure("bench: nccl needs --device cuda");
    if (!gpus && app.count("--launch") > 0) throw Failure("bench: --launch needs --device cuda");
    if (threads && mpi) throw Failure("bench: MPI's ranks are processes, not threads");
    if (is_rank()) {
      if (mpi || threads) throw Failure("bench: inside a job ranks are its processes, without MPI");
      return run_as_rank(rank_main, *options, app.count("--ranks") > 0);
    }
    // To complain once, not in each rank.
    make_cases(*options);
    if (const auto trouble = gpus ? gpu_trouble() : std::nullopt) {
      throw Failure("bench: " + *trouble);
    }
    if (threads) return run_as_threads(rank_main, *options);
    if (!mpi) return run_as_processes(as_own_ranks(*options, arguments));
    return run_under_mpiexec(under_mpiexec(*options, {arguments.begin() + 2, arguments.end()}));
  };
}

Command add_create(CLI::App& app, const std::vector<std::string>& arguments) {
  const auto options = std::make_shared<BenchOptions>();
  add_create_options(app, *options);
  app.footer("Example:\n  muster bench create -n 4");
  return [options, &app, arguments] {
    if (is_rank()) return run_as_rank(bench_create, *options, app.count("--ranks") > 0);
    return run_as_processes(as_own_ranks(*options, arguments));
  };
}

}  // namespace

Command add_bench(CLI::App& app, const std::vector<std::string>& arguments) {
  app.require_subcommand(1);
  app.footer("Example:\n  muster bench all_gather -n 2 --against memcpy");
  CLI::App& all_gather = *app.add_subcommand("all_gather", "Time of a gather, beside its rivals");
  CLI::App& create = *app.add_subcommand("create", "Time and memory of making a communicator");
  const Command measure_all_gather = add_all_gather(all_gather, arguments);
  const Command measure_create = add_create(create, arguments);
  return [&all_gather, measure_all_gather, measure_create] {
    return all_gather.parsed() ? measure_all_gather() : measure_create();
  };
}

}  // namespace muster::tool

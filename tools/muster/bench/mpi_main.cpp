// muster-bench-mpi: the ranks of `muster bench all_gather --against mpi`, started by mpiexec. A
// program of its own, so that `muster` needs no MPI to start.
#include "bench/all_gather.h"
#include "bench/mpi_contenders.h"
#include "exit_status.h"

#include <fmt/format.h>
#include <mpi.h>

#include <cstdio>
#include <cstdlib>

namespace {

using namespace muster::tool;

int rank_main(const BenchOptions& options) {
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  // The directory and the token come from `muster bench`, which knows nothing of MPI's ranks.
  ::setenv("MUSTER_RANK", std::to_string(rank).c_str(), 1);
  ::setenv("MUSTER_WORLD_SIZE", std::to_string(size).c_str(), 1);
  muster::World world = muster::World::join();
  const int status = bench_all_gather(world, options, {mpi_library_version(), make_mpi_contenders});
  return status == exit_wrong ? exit_wrong_under_mpi : status;
}

int bench_main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("The ranks of `muster bench all_gather --against mpi`; mpiexec starts it");
  add_all_gather_options(app, options);
  CLI11_PARSE(app, argc, argv);

  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);  // muster has threads of its own
  int status = exit_failed;
  try {
    status = rank_main(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "muster-bench-mpi: {}\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, exit_failed);
  }
  MPI_Finalize();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return bench_main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "muster-bench-mpi: %s\n", error.what());
    return exit_failed;
  }
}

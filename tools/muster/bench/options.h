// What `muster bench` was asked for; the same for its own ranks and for those under mpiexec.
#pragma once

#include "bench/gather_case.h"
#include "bench/measure.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace muster::tool {

struct BenchOptions {
  int ranks = 2;
  bool json = false;
  bool progress = false;  // a bar on stderr
  Budget budget;

  std::vector<std::int64_t> shape;  // empty: the default sweep
  std::vector<std::int64_t> sizes;
  std::string dtype = "bfloat16";
  int gather_dim = 0;
  std::vector<std::string> placements = {"push"};
  std::vector<std::string> against;
  std::string ranks_as = "processes";
  std::string device = "cpu";
  std::string launch = "graph";  // on GPUs

  bool is_against(const std::string& impl) const;
};

// `progress` starts as whether stderr is a terminal whose foreground this process is in.
void add_all_gather_options(CLI::App& app, BenchOptions& options);
void add_create_options(CLI::App& app, BenchOptions& options);

// Throws muster::Error or Failure for a shape, type or dimension that cannot be gathered.
std::vector<GatherCase> make_cases(const BenchOptions& options);

// Bytes that all ranks together need to measure a case.
std::size_t needed_memory(const BenchOptions& options, const GatherCase& gather);

}  // namespace muster::tool

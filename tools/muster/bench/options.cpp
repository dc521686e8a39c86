#include "bench/options.h"

#include "exit_status.h"
#include "validators.h"

#include <muster/muster.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace muster::tool {
namespace {

void add_common_options(CLI::App& app, BenchOptions& options) {
  options.progress = ::tcgetpgrp(STDERR_FILENO) == ::getpgrp();
  app.add_option("-n,--ranks", options.ranks, "Ranks, 1 to 128")
      ->check(whole_number_from(1, World::max_size))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--rounds", options.budget.rounds, "Rounds to measure, instead of --time")
      ->check(whole_number_from(1, 1'000'000'000))
      ->type_name("N");
  app.add_option(
         "--time", options.budget.seconds, "Seconds to measure each case; 9 rounds at least")
      ->check(seconds_from(0))
      ->capture_default_str()
      ->type_name("S");
  app.add_flag("--json", options.json, "Print one JSON object a line for each row");
  app.add_flag("--progress,!--no-progress",
               options.progress,
               "Show a progress bar on stderr (default: if that is a terminal\n"
               "and this its foreground)")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

// CLI11 would take "8,,64," for two numbers.
CLI::Option& add_extents(CLI::App& app,
                         const std::string& name,
                         std::vector<std::int64_t>& extents,
                         const std::string& description) {
  const auto parse = [name, &extents](const std::string& text) {
    extents.clear();
    const char* const end = text.data() + text.size();
    for (const char* at = text.data();; ++at) {
      const auto [behind, error] = std::from_chars(at, end, extents.emplace_back());
      if (error != std::errc{} || (behind != end && *behind != ',')) {
        throw CLI::ValidationError(name, "\"" + text + "\" is not whole numbers and commas");
      }
      if (behind == end) return;
      at = behind;
    }
  };
  return *app.add_option_function<std::string>(name, parse, description);
}

// Each word once, between commas or in options of their own. CLI11 would take "push,,pull" for two.
CLI::Option& add_words(CLI::App& app,
                       const std::string& name,
                       std::vector<std::string>& words,
                       const std::vector<std::string>& known,
                       const std::string& description) {
  const auto parse = [name, known, &words](const std::vector<std::string>& texts) {
    const std::string text = CLI::detail::join(texts, ",");
    words.clear();
    for (const std::string& word :
         CLI::detail::split(text + ',', ',')) {  // drops a last, empty one
      const auto is_word = [&](const std::string& other) { return other == word; };
      if (std::none_of(known.begin(), known.end(), is_word) ||
          std::any_of(words.begin(), words.end(), is_word)) {
        throw CLI::ValidationError(
            name,
            "\"" + text + "\" is not some of " + CLI::detail::join(known, ",") + ", once each");
      }
      words.push_back(word);
    }
  };
  return *app.add_option_function<std::vector<std::string>>(name, parse, description)
              ->type_name("TEXT:{" + CLI::detail::join(known, ",") + "}")
              ->expected(1)
              ->take_all();
}

}  // namespace

bool BenchOptions::is_against(const std::string& impl) const {
  return std::find(against.begin(), against.end(), impl) != against.end();
}

void add_all_gather_options(CLI::App& app, BenchOptions& options) {
  add_common_options(app, options);
  add_extents(
      app, "--shape", options.shape, "Extents of one rank's shard (default: a sweep of shapes)")
      .type_name("A,B,...");
  add_extents(
      app, "--sizes", options.sizes, "Each rank's extent along the dimension, for unequal ones")
      .needs("--shape")
      ->type_name("X,Y,...");
  app.add_option("--dtype", options.dtype, "Element type")
      ->capture_default_str()
      ->type_name("TYPE");
  app.add_option("--dim", options.gather_dim, "Dimension to gather along; negative from the end")
      ->needs("--shape")
      ->check(whole_number_from(std::numeric_limits<int>::min(), std::numeric_limits<int>::max()))
      ->capture_default_str()
      ->type_name("D");
  add_words(app,
            "--placement",
            options.placements,
            {"push", "pull", "staged"},
            "What peers can reach: the output (push), the shard (pull), neither (staged)")
      .default_str("push");
  add_words(app,
            "--against",
            options.against,
            {"mpi", "memcpy", "nccl"},
            "What to measure beside muster");
  app.add_option("--device", options.device, "Where the tensors live")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--launch",
                 options.launch,
                 "On GPUs: replay a graph of calls, launch each (plain), or that and time the host")
      ->check(CLI::IsMember({"graph", "plain", "host"}))
      ->capture_default_str();
  app.add_option("--ranks-as", options.ranks_as, "What a rank is")
      ->check(CLI::IsMember({"processes", "threads"}))
      ->capture_default_str();
}

void add_create_options(CLI::App& app, BenchOptions& options) {
  add_common_options(app, options);
}

std::vector<GatherCase> make_cases(const BenchOptions& options) {
  const DataType dtype = parse_dtype(options.dtype);
  if (options.shape.empty()) return default_sweep(dtype, options.ranks);
  const Shape shard{std::span<const std::int64_t>(options.shape)};
  return {GatherCase(shard, options.sizes, dtype, options.gather_dim, options.ranks)};
}

std::size_t needed_memory(const BenchOptions& options, const GatherCase& gather) {
  const bool mpi = options.is_against("mpi");
  std::size_t outputs = options.is_against("memcpy") ? 1 : 0;
  std::size_t shards = 1;
  bool ordinary = mpi;
  for (const std::string& placement : options.placements) {
    outputs += placement == "push";
    shards += placement == "pull";
    ordinary = ordinary || placement != "push";
  }
  outputs += ordinary;
  // MPI's scratch to permute from, and its own copies of what is on its way.
  if (mpi) outputs += 2;
  return (outputs * static_cast<std::size_t>(gather.ranks()) + shards) * gather.plan.output_bytes();
}

}  // namespace muster::tool

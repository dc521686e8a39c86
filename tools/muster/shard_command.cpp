// `muster shard`
#include "commands.h"
#include "exit_status.h"
#include "printable.h"
#include "shard/deferred_signals.h"
#include "shard/graph.h"
#include "shard/model.h"
#include "shard/new_directory.h"
#include "shard/plan.h"
#include "shard/report.h"
#include "shard/rewrite.h"
#include "shard/tensor_data.h"
#include "shard/write_models.h"
#include "validators.h"

#include <fmt/format.h>
#include <muster/world.h>

#include <csignal>
#include <limits>
#include <memory>

namespace muster::tool {
namespace {

struct ShardOptions {
  std::string model;
  std::string output;
  SplitOptions split;
  std::size_t inline_limit = largest_inline_model;
  bool dry_run = false;
  bool json = false;
};

void write(const ShardOptions& options, const Rewritten& rewritten) {
  ::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` fails, and is cleaned up
  TensorData data(std::filesystem::path(options.model).parent_path());
  const DeferredSignals until_the_directory_is_whole_or_gone;
  NewDirectory directory(options.output);
  write_models(rewritten, data, {options.split.ranks, options.inline_limit}, directory.path());
  directory.publish();
}

void print(const ShardOptions& options, nlohmann::ordered_json report) {
  report["output"] = nullptr;
  if (!options.dry_run) report["output"] = options.output;
  if (options.json) {
    // A name in a model may be anything; JSON is UTF-8.
    fmt::print("{}\n", report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  print_table(report);
  if (options.dry_run) {
    fmt::print("dry run: nothing was written\n");
  } else {
    fmt::print("wrote {}/{} to {}\n",
               options.output,
               model_file_name(0),
               model_file_name(options.split.ranks - 1));
  }
}

int shard(const ShardOptions& options) {
  if (options.output.empty() && !options.dry_run) {
    throw Failure("shard: where to? Give -o DIRECTORY, or --dry-run");
  }
  const auto model = read_model(options.model);
  const Graph graph(model);
  const SplitPlan plan = make_plan(graph, options.split);
  const Rewritten rewritten = rewrite(model, graph, plan);
  if (!options.dry_run) write(options, rewritten);
  print(options, make_report(model, graph, plan, rewritten));
  return exit_success;
}

}  // namespace

Command add_shard(CLI::App& app) {
  const auto options = std::make_shared<ShardOptions>();
  app.add_option("model", options->model, "An ONNX model")->required()->type_name("MODEL.onnx");
  app.add_option("-n,--ranks", options->split.ranks, "Ranks to split it over, 1 to 128")
      ->required()
      ->check(whole_number_from(1, World::max_size))
      ->type_name("N");
  app.add_option("-o,--output",
                 options->output,
                 "Directory to make, with rank0.onnx and so on,\n"
                 "for `muster run -n N DIRECTORY`")
      ->type_name("DIRECTORY");
  app.add_option("--only",
                 options->split.only,
                 "Split only nodes whose name, operator or weight\n"
                 "matches a shell wildcard; may be repeated")
      ->type_name("PATTERN")
      ->expected(1)
      ->take_all();
  app.add_option("--min-bytes", options->split.min_bytes, "Leave smaller weights whole")
      ->check(whole_number_from(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str()
      ->type_name("B");
  app.add_option("--inline-limit",
                 options->inline_limit,
                 "Put weights into files of their own where a\n"
                 "rank's model would be larger")
      ->check(whole_number_from(0, largest_inline_model))
      ->capture_default_str()
      ->type_name("B");
  app.add_flag("--dry-run", options->dry_run, "Show what would be split, and write nothing");
  app.add_flag("--json", options->json, "Print one JSON object; sizes are in bytes");
  app.footer(
      "Splits constant weights of MatMul, Gemm, Conv and Gather along their output dimension, and\n"
      "adds AllGather nodes where somebody needs the whole. Each rank's model has the inputs and\n"
      "outputs of the one that was split.\n\nExample:\n"
      "  muster shard model.onnx -n 4 -o model4");
  return [options] {
    try {
      return shard(*options);
    } catch (const Failure& failure) {  // which may quote the model
      throw Failure(printable(failure.what()), failure.status());
    }
  };
}

}  // namespace muster::tool

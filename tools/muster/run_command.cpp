// `muster run`
#include "commands.h"
#include "exit_status.h"
#include "file_descriptor.h"
#include "launch/launcher.h"
#include "launch/line_forwarder.h"
#include "model/options.h"
#include "model/report.h"
#include "validators.h"

#include <fmt/format.h>
#include <muster/muster.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstring>
#include <memory>

namespace muster::tool {
namespace {

struct RunOptions {
  LaunchOptions launch;
  double timeout = 0;
  double grace = 5;
  bool no_prefix = false;
  bool json = false;
};

// CLI11 does not know of the program and its arguments.
class RunFormatter : public CLI::Formatter {
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: muster run -n N [OPTIONS] [--] PROGRAM [ARGUMENTS...]\n"
           "       muster run -n N [OPTIONS] [--] MODEL.onnx --input NAME=FILE.npy...\n";
  }
};

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
}

// The first argument that is no option of ours, and all behind it.
std::vector<std::string> command_of(const CLI::App& app,
                                    const std::optional<std::vector<std::string>>& behind_mark) {
  std::vector<std::string> command = app.remaining();
  if (!command.empty() && command.front().starts_with('-')) {
    throw Failure(fmt::format("run: unknown option {}", command.front()));
  }
  if (behind_mark) {
    if (!command.empty()) command.emplace_back("--");  // it was the program's own
    command.insert(command.end(), behind_mark->begin(), behind_mark->end());
  }
  if (command.empty()) throw Failure("run: which program? For example: muster run -n 4 ./program");
  return command;
}

using Json = nlohmann::ordered_json;

Json to_json(const LaunchResult& result) {
  Json ranks = Json::array();
  for (std::size_t rank = 0; rank < result.ranks.size(); ++rank) {
    const RankResult& r = result.ranks[rank];
    ranks.push_back({{"rank", rank},
                     {"status", r.status},
                     {"signal", r.signal == 0 ? Json() : Json(r.signal)},
                     {"seconds", r.seconds}});
  }
  return {{"status", result.status},
          {"first_failed", result.first_failed ? Json(*result.first_failed) : Json()},
          {"timed_out", result.timed_out},
          {"seconds", result.seconds},
          {"ranks", ranks}};
}

// Why the job ended as it did, where there is something to say.
std::string explanation(const RunOptions& options, const LaunchResult& result) {
  std::string text;
  if (result.timed_out) {
    text = fmt::format("muster: ended after the timeout of {} s\n", options.timeout);
  } else if (result.first_failed) {
    const int rank = *result.first_failed;
    text = fmt::format(
        "muster: {}{}\n",
        describe(rank, result.ranks[static_cast<std::size_t>(rank)]),
        options.launch.keep_going || options.launch.ranks == 1 ? "" : "; the others were ended");
  }
  if (result.lost_bytes > 0) {
    text += fmt::format("muster: {} bytes that the ranks printed are lost: nobody read them\n",
                        result.lost_bytes);
  }
  return text;
}

// What ends a job in spite of a stalled reader must not wait for that reader here.
void print(std::FILE* stream, const std::string& text, const LaunchResult& result) {
  if (!result.timed_out && !result.ending_signal && result.lost_bytes == 0) {
    return fmt::print(stream, "{}", text);
  }
  OutputQueue queue(::fileno(stream));
  queue.append(text);
  queue.write_all(reader_patience);
  if (queue.error() != 0) {
    throw Failure(fmt::format("cannot print how the ranks ended: {}", strerror(queue.error())),
                  result.status);
  }
}

void print_summary(const RunOptions& options, const LaunchResult& result, const Json& model) {
  if (options.json) {
    Json json = to_json(result);
    if (!model.is_null()) json["model"] = model;
    print(stdout, json.dump() + "\n", result);
  } else if (!model.is_null() && result.status == exit_success) {
    print_report(model);
  }
  print(stderr, explanation(options, result), result);
}

}  // namespace

Command add_run(CLI::App& app, const std::optional<std::vector<std::string>>& behind_mark) {
  const auto options = std::make_shared<RunOptions>();
  app.prefix_command();
  app.formatter(std::make_shared<RunFormatter>());
  app.add_option("-n,--ranks", options->launch.ranks, "Ranks to start, 1 to 128")
      ->required()
      ->check(whole_number_from(1, World::max_size))
      ->type_name("N");
  app.add_option("--timeout", options->timeout, "End the job after so many seconds")
      ->check(seconds_from(0.001))
      ->type_name("S");
  app.add_option("--grace", options->grace, "Seconds from SIGTERM to SIGKILL, for ranks to end")
      ->check(seconds_from(0))
      ->capture_default_str()
      ->type_name("S");
  app.add_flag("--keep-going", options->launch.keep_going, "A rank that fails ends no other");
  app.add_flag("--no-prefix", options->no_prefix, "Forward lines without the rank's number");
  app.add_flag("--json",
               options->json,
               "Print how the ranks ended as one JSON object on stdout;\n"
               "the ranks' own stdout goes to stderr");
  app.footer(fmt::format(
      "Each line of a rank's output comes behind its number: \"[2] text\". Rank 0 reads "
      "this\ncommand's stdin unless that is a terminal; the other ranks read nothing. "
      "Signals go to\nall ranks and their children; a second SIGINT or SIGTERM kills "
      "them. When a rank fails,\nthe others get SIGTERM and, after the grace, SIGKILL. "
      "A rank needs {} MiB at least.\n\nA model is an .onnx file, or a directory that `muster "
      "shard` "
      "made: `muster run -n 4\nmodel.onnx --help`. \"{{rank}}\" in its files' names is the rank's "
      "number.\n\n{}\n\nExample:\n  muster run -n 4 ./program --its-own-option\n  muster run -n 4 "
      "split --input x=x.npy --output results",
      memory_per_rank >> 20,
      exit_statuses));

  return [options, &app, behind_mark] {
    options->launch.command = command_of(app, behind_mark);
    FileDescriptor report;
    if (is_model(options->launch.command.front())) {
      report = FileDescriptor(make_report_file());
      options->launch.command =
          rank_command(options->launch.command, options->launch.ranks, report.get());
      if (options->launch.command.empty()) return int{exit_success};
    }
    options->launch.grace = milliseconds(options->grace);
    options->launch.output = options->no_prefix ? RankOutput::lines : RankOutput::prefixed;
    options->launch.output_to_stderr = options->json;
    if (options->timeout > 0) options->launch.timeout = milliseconds(options->timeout);
    const LaunchResult result = launch(options->launch);
    print_summary(*options, result, report.get() < 0 ? Json() : read_report(report.get()));
    return result.status;
  };
}

}  // namespace muster::tool

// The subcommands. Each adds itself to a command line and returns what does its work.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace muster::tool {

// Its result is the exit status. Throws Failure.
using Command = std::function<int()>;

// `behind_mark`: what stood behind "--" on the command line, if that was there.
Command add_run(CLI::App& app, const std::optional<std::vector<std::string>>& behind_mark);
// One rank of a job that runs a model; `run` starts it.
Command add_model_rank(CLI::App& app);
Command add_info(CLI::App& app);
Command add_shard(CLI::App& app);
// `arguments`: the command line, beginning with the subcommand; the bench's ranks get it too.
Command add_bench(CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace muster::tool

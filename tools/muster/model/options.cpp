#include "model/options.h"

#include "exit_status.h"
#include "launch/find_program.h"
#include "model/rank.h"
#include "validators.h"

#include <fmt/format.h>

#include <string_view>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view placeholder = "{rank}";

// "name=file"
ModelInput parse_input(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    throw CLI::ValidationError("--input", "wants NAME=FILE.npy, not " + text);
  }
  return {.name = text.substr(0, equals), .file = text.substr(equals + 1)};
}

void require_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_regular_file(status)) return;
  if (fs::exists(status)) throw Failure(fmt::format("run: {} is no regular file", path.string()));
  if (status.type() == fs::file_type::not_found) {
    throw Failure(fmt::format("run: there is no {}", path.string()));
  }
  throw Failure(fmt::format("run: {}: {}", path.string(), error.message()));
}

}  // namespace

bool is_model(const std::string& argument) {
  if (argument.ends_with(".onnx")) return true;
  std::error_code ignored;
  return fs::is_directory(for_rank(argument, 0), ignored) &&
         (fs::exists(for_rank(argument + "/rank{rank}.onnx", 0), ignored) ||
          !find_program(argument));
}

void add_model_options(CLI::App& app, ModelOptions& options) {
  app.add_option("MODEL",
                 options.model,
                 "A model's .onnx file, or the directory that\n"
                 "`muster shard` made")
      ->required();
  app.add_option_function<std::vector<std::string>>(
         "--input",
         [&options](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) options.inputs.push_back(parse_input(text));
         },
         "An input of the model, once for each")
      ->type_name("NAME=FILE.npy")
      ->expected(1)
      ->take_all();
  app.add_option("--output", options.output, "Write the outputs there, as NAME.npy")
      ->type_name("DIR");
  app.add_option("--repeat", options.repeat, "Run so many times")
      ->check(whole_number_from(1, 1'000'000'000))
      ->capture_default_str()
      ->type_name("K");
  app.add_flag("--profile", options.profile, "Show the time of each kind of operator on rank 0");
  app.add_option("--report-fd", options.report_fd)->group("");
}

std::vector<std::string> rank_command(const std::vector<std::string>& arguments,
                                      int ranks,
                                      int report_fd) {
  ModelOptions options;
  CLI::App app("Runs a model on the ranks of a job", "muster run -n N");
  add_model_options(app, options);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp& help) {
    app.exit(help);
    return {};
  } catch (const CLI::ParseError& error) {
    throw Failure(fmt::format("run: {}", error.what()));
  }
  require_engine();
  for (int rank = 0; rank < ranks; ++rank) {
    require_file(model_of(options, rank));
    for (const ModelInput& input : options.inputs) require_file(for_rank(input.file, rank));
  }
  std::vector<std::string> command{fs::read_symlink("/proc/self/exe"),
                                   model_rank_command,
                                   "--report-fd",
                                   std::to_string(report_fd)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

fs::path for_rank(const std::string& pattern, int rank) {
  std::string path = pattern;
  for (auto at = path.find(placeholder); at != std::string::npos; at = path.find(placeholder)) {
    path.replace(at, placeholder.size(), std::to_string(rank));
  }
  return path;
}

fs::path model_of(const ModelOptions& options, int rank) {
  const fs::path path = for_rank(options.model, rank);
  std::error_code ignored;  // whoever opens it complains
  return fs::is_directory(path, ignored) ? path / fmt::format("rank{}.onnx", rank) : path;
}

}  // namespace muster::tool

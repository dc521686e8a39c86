// The command line `muster`.
#include "commands.h"
#include "exit_status.h"
#include "model/options.h"

#include <fmt/format.h>
#include <muster/muster.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace {

using namespace muster::tool;

constexpr const char* description =
    "muster gathers tensors that are split over ranks, along any dimension, in one copy.";

// What CLI11 complains of; where a command is missing it does not name the word that is none.
std::string complaint(const CLI::App& command, const CLI::ParseError& error) {
  const auto unknown = command.remaining();
  if (command.get_require_subcommand_min() == 0 || unknown.empty()) return error.what();
  return fmt::format("no such command or option: {}", unknown.front());
}

int end_parsing(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // prints the help that was asked for
  const CLI::App* command = &app;
  std::string words = "muster";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    words += " " + command->get_name();
  }
  fmt::print(stderr,
             "muster: {}\nmuster: `{} --help` shows what there is\n",
             complaint(*command, error),
             words);
  return exit_failed;
}

// What the layers say through their engines names muster already.
void print_error(std::string_view text) {
  fmt::print(stderr, "{}{}\n", text.starts_with("muster: ") ? "" : "muster: ", text);
}

int run_command(const Command& command) {
  try {
    return command();
  } catch (const Failure& failure) {
    print_error(failure.what());
    return failure.status();
  } catch (const std::filesystem::filesystem_error& error) {
    print_error(fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return exit_failed;
}

// A closed standard stream's number would be given to the next file that is opened, and take what
// is printed.
void open_missing_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);  // takes the lowest number
  }
}

// The status of the program, once all that it printed has been taken.
int flushed(int status) {
  if (std::fflush(stdout) != 0) {
    std::perror("muster: cannot write to stdout");
  } else if (std::ferror(stdout) != 0) {  // why not was in the errno of an earlier write
    std::fputs("muster: cannot write to stdout\n", stderr);
  } else {
    return status;
  }
  return status == exit_success ? exit_failed : status;
}

// What stands behind "--" of `muster run`: a program's own arguments are not ours to parse.
std::optional<std::vector<std::string>> take_behind_mark(std::vector<std::string>& arguments) {
  const auto mark = std::find(arguments.begin(), arguments.end(), "--");
  if (mark == arguments.end() || arguments.front() != "run") return std::nullopt;
  std::vector<std::string> behind(mark + 1, arguments.end());
  arguments.erase(mark, arguments.end());
  return behind;
}

int muster_main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto behind_mark = take_behind_mark(arguments);

  CLI::App app(description, "muster");
  app.set_version_flag("--version", "muster " MUSTER_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(28);
  app.footer("Example:\n  muster run -n 4 ./program\n\n`muster COMMAND --help` says more.");
  const Command run =
      add_run(*app.add_subcommand("run", "Start a program as the ranks of a job"), behind_mark);
  const Command model_rank = add_model_rank(*app.add_subcommand(model_rank_command));
  const Command bench =
      add_bench(*app.add_subcommand("bench", "Measure gathers on this machine"), arguments);
  const Command info = add_info(*app.add_subcommand("info", "Show what muster finds here"));
  const Command shard =
      add_shard(*app.add_subcommand("shard", "Split a network's weights over ranks"));
  try {
    // The order in which CLI11 takes them.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return end_parsing(app, error);
  }
  if (app.got_subcommand("run")) return run_command(run);
  if (app.got_subcommand(model_rank_command)) return run_command(model_rank);
  if (app.got_subcommand("shard")) return run_command(shard);
  return run_command(app.got_subcommand("bench") ? bench : info);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    open_missing_streams();
    return flushed(muster_main(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "muster: %s\n", error.what());
    return exit_failed;
  }
}

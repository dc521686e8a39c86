// Starts the ranks of a job and stays with them until they have ended.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace muster::tool {

enum class RankOutput {
  prefixed,      // line by line behind the rank's number
  lines,         // line by line
  stdout_lines,  // stdout line by line; the launcher's own stderr
  inherited,     // the launcher's own descriptors
};

struct LaunchOptions {
  int ranks = 1;
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> environment = {};  // beside muster's own
  RankOutput output = RankOutput::prefixed;
  bool output_to_stderr = false;  // keeps stdout for the launcher's own result
  bool keep_going = false;        // a rank that fails does not end the others
  std::chrono::milliseconds grace = std::chrono::seconds(5);  // from SIGTERM to SIGKILL
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
};

struct RankResult {
  int status = 0;  // as a shell gives it: 128 + signal for a signal
  int signal = 0;
  double seconds = 0;
};

struct LaunchResult {
  int status = 0;  // of the whole job
  bool timed_out = false;
  std::optional<int> first_failed = std::nullopt;
  std::optional<int> ending_signal = std::nullopt;  // SIGINT, SIGTERM or SIGHUP to the launcher
  bool reader_left = false;                         // of what the ranks print on stdout
  std::size_t lost_bytes = 0;                       // of what they print, to a stalled reader
  double seconds = 0;
  std::vector<RankResult> ranks;
};

// What a rank is taken to need at least: its process, its part of the arenas' bookkeeping.
inline constexpr std::size_t memory_per_rank = std::size_t{8} << 20;

// After a timeout or an ending signal, a reader that takes nothing for so long has stalled.
inline constexpr std::chrono::seconds reader_patience{2};

// Runs the command as every rank of a new job. Signals that arrive meanwhile go to the ranks; a
// second SIGINT or SIGTERM kills them. Rank 0 reads this process's stdin unless that is a terminal;
// the others, and rank 0 then, read nothing. A stalled reader of what they print holds them up, but
// neither the timeout nor a signal.
// Throws Failure when there is not memory enough, or the ranks cannot be started; none is left
// then.
LaunchResult launch(const LaunchOptions& options);

// "rank 2 was killed by signal 9 (Killed)"
std::string describe(int rank, const RankResult& result);

}  // namespace muster::tool

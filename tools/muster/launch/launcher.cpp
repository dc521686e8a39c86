#include "launch/launcher.h"

#include "exit_status.h"
#include "launch/line_forwarder.h"
#include "launch/rank_process.h"
#include "launch/rendezvous_directory.h"
#include "launch/signals.h"
#include "machine/memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>

namespace muster::tool {
namespace {

using Clock = std::chrono::steady_clock;

std::string random_token() {
  std::array<std::uint64_t, 2> bits{};
  if (::getrandom(bits.data(), sizeof(bits), 0) != sizeof(bits)) throw Failure("no random numbers");
  return fmt::format("{:016x}{:016x}", bits[0], bits[1]);
}

bool same_file(int a, int b) {
  struct stat x {
  }, y{};
  return ::fstat(a, &x) == 0 && ::fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

void require_memory(int ranks) {
  const std::size_t needed = static_cast<std::size_t>(ranks) * memory_per_rank;
  const std::size_t available = available_memory();
  if (needed > available) {
    throw Failure(fmt::format("{} ranks need at least {} MiB ({} each), {} are available",
                              ranks,
                              needed >> 20,
                              memory_per_rank >> 20,
                              available >> 20));
  }
}

class Launcher {
 public:
  explicit Launcher(const LaunchOptions& options);
  LaunchResult run();

 private:
  struct Rank {
    RankProcess process;
    std::optional<RankResult> result = std::nullopt;
  };

  void start(int rank);
  FileDescriptor forwarded(int rank, OutputQueue& output);
  bool wait_for_events();
  std::optional<Clock::time_point> deadline() const;
  bool output_waits() const { return !stdout_.empty() || !stderr_.empty(); }
  // Ranks that heed a signal may have to print something before they end.
  bool signal_waits_for_reader() const {
    return result_.ending_signal && output_waits() && !kill_at_;
  }
  void on_signal(int signal);
  void on_timer();
  void look_at_ranks();
  void note_failure(int rank);
  void end_ranks();
  void send(int signal) const;
  bool any_live() const;
  LaunchResult finish();

  const LaunchOptions& options_;
  const Signals signals_;
  const RendezvousDirectory directory_;
  const std::string token_ = random_token();
  const FileDescriptor nothing_{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  const Clock::time_point start_ = Clock::now();

  OutputQueue stdout_;
  OutputQueue stderr_{STDERR_FILENO};
  std::deque<LineForwarder> forwarders_;
  std::vector<Rank> ranks_;

  LaunchResult result_;
  std::optional<Clock::time_point> timeout_at_;
  std::optional<Clock::time_point> kill_at_;
  int interrupts_ = 0;  // SIGINT or SIGTERM sent to the launcher
};

Launcher::Launcher(const LaunchOptions& options)
    : options_(options), stdout_(options.output_to_stderr ? STDERR_FILENO : STDOUT_FILENO) {
  require_memory(options.ranks);
  ranks_.reserve(static_cast<std::size_t>(options.ranks));
  for (int rank = 0; rank < options.ranks; ++rank) start(rank);
  if (options.timeout) timeout_at_ = start_ + *options.timeout;
}

void Launcher::start(int rank) {
  Program program{options_.command, options_.environment};
  for (const auto& [name, value] : {std::pair("MUSTER_RANK", std::to_string(rank)),
                                    std::pair("MUSTER_WORLD_SIZE", std::to_string(options_.ranks)),
                                    std::pair("MUSTER_RENDEZVOUS", directory_.for_ranks().string()),
                                    std::pair("MUSTER_TOKEN", token_)}) {
    program.environment.emplace_back(name, value);
  }
  StandardStreams streams;
  // A terminal would stop a process that is not in its foreground group and reads from it.
  if (rank != 0 || ::isatty(STDIN_FILENO) == 1) streams.in = nothing_.get();
  FileDescriptor out, error;
  if (options_.output != RankOutput::inherited) {
    out = forwarded(rank, stdout_);
    streams.out = out.get();
    if (options_.output != RankOutput::stdout_lines) {
      error = forwarded(rank, same_file(stdout_.fd(), STDERR_FILENO) ? stdout_ : stderr_);
      streams.error = error.get();
    }
  }
  ranks_.push_back({RankProcess(program, streams, signals_)});
}

FileDescriptor Launcher::forwarded(int rank, OutputQueue& output) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Failure(fmt::format("cannot make a pipe for rank {}: {}", rank, strerror(errno)));
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  forwarders_.emplace_back(
      FileDescriptor(ends[0]),
      options_.output == RankOutput::prefixed ? fmt::format("[{}] ", rank) : "",
      output);
  return FileDescriptor(ends[1]);
}

LaunchResult Launcher::run() {
  while (any_live()) wait_for_events();
  send(SIGKILL);  // what the ranks left running
  for (LineForwarder& forwarder : forwarders_) {
    if (forwarder.open()) forwarder.drain();
  }
  while (output_waits() && interrupts_ < 2 && wait_for_events()) {
  }
  return finish();
}

// One turn of the loop: false if nothing happened before the deadline.
bool Launcher::wait_for_events() {
  std::vector<pollfd> polled{{signals_.fd(), POLLIN, 0}};
  for (OutputQueue* queue : {&stdout_, &stderr_}) {
    polled.push_back({queue->empty() ? -1 : queue->fd(), POLLOUT, 0});
  }
  for (const LineForwarder& forwarder : forwarders_) {
    polled.push_back({forwarder.blocked() ? -1 : forwarder.fd(), POLLIN, 0});
  }
  int wait = -1;
  if (const auto at = deadline()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*at - Clock::now()).count();
    wait = static_cast<int>(std::clamp<std::int64_t>(left, 0, INT32_MAX));
  }
  const bool in_time = ::poll(polled.data(), polled.size(), wait) != 0;

  std::size_t next = 1;
  for (OutputQueue* queue : {&stdout_, &stderr_}) {
    if (polled[next++].revents != 0) queue->write_some();
  }
  for (LineForwarder& forwarder : forwarders_) {
    if (polled[next++].revents != 0) forwarder.read_some();
  }
  std::vector<int> signals;
  while (const auto signal = signals_.next()) signals.push_back(*signal);
  for (auto signal = signals.begin(); signal != signals.end(); ++signal) {
    // One to go on takes back one to stop, as the kernel has it.
    const bool taken_back =
        *signal == SIGTSTP && std::find(signal, signals.end(), SIGCONT) != signals.end();
    if (!taken_back) on_signal(*signal);
  }
  // A launcher that was stopped may learn at once that the time is up and that all ranks ended.
  if (any_live()) {
    if (!in_time && signal_waits_for_reader()) end_ranks();
    on_timer();
  }
  return in_time;
}

// Once no rank lives, only readers are waited for: for ever, unless something ends the job.
std::optional<Clock::time_point> Launcher::deadline() const {
  const auto patience_ends = Clock::now() + reader_patience;
  if (any_live()) {
    const auto at = signal_waits_for_reader() ? patience_ends : kill_at_;
    return at && timeout_at_ ? std::min(at, timeout_at_) : std::max(at, timeout_at_);  // if any
  }
  if (result_.timed_out || result_.ending_signal) return patience_ends;
  if (timeout_at_) return std::max(*timeout_at_, patience_ends);
  return std::nullopt;
}

void Launcher::on_signal(int signal) {
  if (signal == SIGCHLD) return look_at_ranks();
  const bool interrupt = signal == SIGINT || signal == SIGTERM;
  if ((interrupt || signal == SIGHUP) && !result_.ending_signal) result_.ending_signal = signal;
  if (interrupt && ++interrupts_ > 1) return send(SIGKILL);
  send(signal);
  if (signal == SIGTSTP) ::raise(SIGSTOP);  // so that the shell sees the job as stopped
}

void Launcher::on_timer() {
  const auto now = Clock::now();
  if (kill_at_ && now >= *kill_at_) {
    send(SIGKILL);
    kill_at_.reset();
  }
  if (timeout_at_ && now >= *timeout_at_) {
    timeout_at_.reset();
    result_.timed_out = true;
    end_ranks();
  }
}

void Launcher::look_at_ranks() {
  std::vector<int> failed;
  for (int rank = 0; rank < options_.ranks; ++rank) {
    Rank& r = ranks_[static_cast<std::size_t>(rank)];
    if (r.result) continue;
    const auto end = r.process.ended();
    if (!end) continue;
    const std::chrono::duration<double> time = Clock::now() - start_;
    r.result = {.status = end->status, .signal = end->signal, .seconds = time.count()};
    if (end->status != 0) failed.push_back(rank);
  }
  if (failed.empty()) return;
  // Of ranks found dead at once, one that was killed is the likelier cause: its peers' calls
  // failed.
  const auto killed = std::find_if(failed.begin(), failed.end(), [&](int rank) {
    return ranks_[static_cast<std::size_t>(rank)].result->signal != 0;
  });
  note_failure(killed != failed.end() ? *killed : failed.front());
}

void Launcher::note_failure(int rank) {
  if (result_.first_failed || result_.timed_out) return;
  result_.first_failed = rank;
  if (!options_.keep_going) end_ranks();
}

void Launcher::end_ranks() {
  send(SIGTERM);
  send(SIGCONT);  // a stopped rank could not end
  kill_at_ = Clock::now() + options_.grace;
}

void Launcher::send(int signal) const {
  for (const Rank& rank : ranks_) rank.process.send(signal);
}

bool Launcher::any_live() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return !rank.result; });
}

LaunchResult Launcher::finish() {
  for (const OutputQueue* queue : {&stdout_, &stderr_}) {
    if (queue->error() != 0)
      throw Failure(fmt::format("cannot write what the ranks print: {}", strerror(queue->error())));
  }
  for (const Rank& rank : ranks_) result_.ranks.push_back(*rank.result);
  result_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  result_.reader_left = stdout_.closed();
  result_.lost_bytes = stdout_.size() + stderr_.size();
  const bool lost = result_.lost_bytes > 0;
  if (lost && !result_.first_failed && !result_.ending_signal) result_.timed_out = true;
  if (result_.timed_out) {
    result_.status = exit_timed_out;
  } else if (result_.first_failed) {
    result_.status = ranks_[static_cast<std::size_t>(*result_.first_failed)].result->status;
  } else if (lost) {
    result_.status = exit_signal + *result_.ending_signal;
  }
  return std::move(result_);
}

}  // namespace

LaunchResult launch(const LaunchOptions& options) {
  return Launcher(options).run();
}

std::string describe(int rank, const RankResult& result) {
  if (result.signal == 0) return fmt::format("rank {} ended with status {}", rank, result.status);
  return fmt::format(
      "rank {} was killed by signal {} ({})", rank, result.signal, ::strsignal(result.signal));
}

}  // namespace muster::tool

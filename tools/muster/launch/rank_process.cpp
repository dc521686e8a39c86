#include "launch/rank_process.h"

#include "exit_status.h"
#include "launch/find_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace muster::tool {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

void install(int from, int to) {
  if (from == to) {
    ::fcntl(to, F_SETFD, 0);
  } else if (from >= 0) {
    ::dup2(from, to);
  }
}

// Returns, with errno, only where the program cannot be started.
int execute(const Program& program, const StandardStreams& streams, pid_t launcher) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launcher) ::_exit(exit_failed);  // it died before prctl
  install(streams.in, STDIN_FILENO);
  install(streams.out, STDOUT_FILENO);
  install(streams.error, STDERR_FILENO);
  // To a terminal this group is in the background: with `stty tostop` what it prints there would
  // stop it, unseen by the shell.
  if (streams.error < 0) ::signal(SIGTTOU, SIG_IGN);
  for (const auto& [name, value] : program.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<std::string> arguments = program.arguments;
  ::execvp(arguments.front().c_str(), pointers(arguments).data());
  return errno;
}

[[noreturn]] void throw_not_started(const std::string& program, int error) {
  if (error == ENOENT && !find_program(program)) {
    throw Failure(fmt::format("no such program: {}", program), exit_not_found);
  }
  if (error == ENOENT) {
    throw Failure(fmt::format("cannot start {}: its interpreter is missing", program),
                  exit_not_executable);
  }
  throw Failure(fmt::format("cannot start {}: {}", program, strerror(error)), exit_not_executable);
}

}  // namespace

RankProcess::RankProcess(const Program& program,
                         const StandardStreams& streams,
                         const Signals& signals) {
  std::array<int, 2> ends{};  // closed by a successful exec; carries errno otherwise
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Failure("no descriptors left for a pipe");
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  const pid_t launcher = ::getpid();
  const pid_t child = signals.fork();
  if (child < 0) throw Failure(fmt::format("cannot start a process: {}", strerror(errno)));
  if (child == 0) {
    const int error = execute(program, streams, launcher);
    ::_exit(::write(write_end.get(), &error, sizeof(error)) < 0 ? exit_failed : exit_not_found);
  }
  ::setpgid(child, child);  // in both processes, whichever comes first
  write_end.reset();
  int error = 0;
  if (::read(read_end.get(), &error, sizeof(error)) == sizeof(error)) {
    ::waitpid(child, nullptr, 0);
    throw_not_started(program.arguments.front(), error);
  }
  pid_ = child;
}

RankProcess::~RankProcess() {
  if (pid_ == 0) return;
  send(SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::optional<ExitState> RankProcess::ended() const {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  if (info.si_code == CLD_EXITED) return ExitState{.status = info.si_status};
  return ExitState{.status = exit_signal + info.si_status, .signal = info.si_status};
}

void RankProcess::send(int signal) const {
  ::kill(-pid_, signal);
}

}  // namespace muster::tool

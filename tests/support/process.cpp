#include "support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace muster::test {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int checked(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

// A memfd at descriptor 0: an argument vector would be limited to 128 KiB.
int memory_file(const std::string& content) {
  const int fd = checked(::memfd_create("argument", MFD_CLOEXEC), "memfd_create");
  for (std::size_t done = 0; done < content.size();) {
    const auto written = ::write(fd, content.data() + done, content.size() - done);
    if (written < 0) fail("write");
    done += static_cast<std::size_t>(written);
  }
  return fd;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const bool of_a_rank =
        text.starts_with("MUSTER_RANK=") || text.starts_with("MUSTER_WORLD_SIZE=") ||
        text.starts_with("MUSTER_RENDEZVOUS=") || text.starts_with("MUSTER_TOKEN=");
    if (!of_a_rank) result.emplace_back(text);
  }
  return result;
}

pid_t spawn(std::vector<std::string> arguments,
            std::vector<std::string> environment,
            int input,
            int report) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, report, report_fd);
  // Whatever the test was started with: a role that counts descriptors begins with the same.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, report_fd + 1);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid,
                                  "/proc/self/exe",
                                  &actions,
                                  nullptr,
                                  pointers(arguments).data(),
                                  pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), "posix_spawn");
  return pid;
}

// Whether `fd` became readable before the deadline.
bool wait_readable(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd poll{fd, POLLIN, 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) fail("poll");
  }
}

}  // namespace

std::string read_argument() {
  std::string argument;
  std::array<char, 65536> piece{};
  while (const auto size = checked(
             static_cast<int>(::pread(
                 STDIN_FILENO, piece.data(), piece.size(), static_cast<off_t>(argument.size()))),
             "pread")) {
    argument.append(piece.data(), static_cast<std::size_t>(size));
  }
  return argument;
}

Process::Process(const std::string& role,
                 const std::string& argument,
                 const std::vector<std::string>& environment) {
  std::vector<std::string> variables = own_environment();
  variables.insert(variables.end(), environment.begin(), environment.end());

  std::array<int, 2> pipe{};
  checked(::pipe2(pipe.data(), O_CLOEXEC), "pipe2");
  const int input = memory_file(argument);
  pid_ = spawn({"rank", std::string(role_flag), role, std::to_string(::getpid())},
               variables,
               input,
               pipe[1]);
  ::close(input);
  ::close(pipe[1]);
  report_ = pipe[0];
  pidfd_ = checked(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open");
}

Process::~Process() {
  if (pid_ < 0) return;
  if (!reaped_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(pidfd_);
  ::close(report_);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(other.pidfd_),
      report_(other.report_),
      status_(other.status_),
      reaped_(other.reaped_),
      unread_(std::move(other.unread_)) {}

void Process::signal(int number) const {
  checked(::kill(pid_, number), "kill");
}

std::optional<std::string> Process::line(Clock::time_point deadline) {
  for (;;) {
    if (const auto end = unread_.find('\n'); end != std::string::npos) {
      std::string result = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return result;
    }
    if (!wait_readable(report_, deadline)) return std::nullopt;
    std::array<char, 4096> piece{};
    const auto size =
        checked(static_cast<int>(::read(report_, piece.data(), piece.size())), "read");
    if (size == 0) return std::nullopt;
    unread_.append(piece.data(), static_cast<std::size_t>(size));
  }
}

Clock::time_point Process::wait(Clock::time_point deadline) {
  if (!wait_readable(pidfd_, deadline)) {
    throw std::runtime_error("process " + std::to_string(pid_) + " did not end in time");
  }
  const auto ended = Clock::now();
  if (!reaped_) {
    int status = 0;
    checked(::waitpid(pid_, &status, 0), "waitpid");
    reaped_ = true;
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return ended;
}

}  // namespace muster::test

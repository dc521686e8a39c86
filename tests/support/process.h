// Processes that tests start, watch and kill.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::test {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC, the same in all processes

inline constexpr std::string_view role_flag = "--as-role";
inline constexpr int report_fd = 3;  // where a role tells, a pipe to the process that started it

// In a role: the argument it was started with, of any length.
std::string read_argument();

// This binary, started again (fork and exec) in a role. Killed and reaped when destroyed.
class Process {
 public:
  // `environment` holds NAME=value, in addition to this process's own but for MUSTER_ variables.
  Process(const std::string& role,
          const std::string& argument,
          const std::vector<std::string>& environment);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const;

  // The next line that the role tells; none when it ended, or at the deadline.
  std::optional<std::string> line(Clock::time_point deadline);

  // When the process was seen to have ended. @throws std::runtime_error at the deadline.
  Clock::time_point wait(Clock::time_point deadline);

  // Its exit status, or minus the signal that ended it. After wait().
  int status() const noexcept { return status_; }

 private:
  pid_t pid_ = -1;
  int pidfd_ = -1;
  int report_ = -1;  // read end
  int status_ = 0;
  bool reaped_ = false;
  std::string unread_;
};

}  // namespace muster::test

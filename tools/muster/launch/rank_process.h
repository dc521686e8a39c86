// One rank: a process group, whose first process ends with its launcher.
#pragma once

#include "file_descriptor.h"
#include "launch/signals.h"

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace muster::tool {

struct Program {
  std::vector<std::string> arguments;                            // the program itself first
  std::vector<std::pair<std::string, std::string>> environment;  // added to this process's own
};

// Descriptors that become a rank's own; -1 leaves it the launcher's.
struct StandardStreams {
  int in = -1;
  int out = -1;
  int error = -1;
};

struct ExitState {
  int status = 0;  // as a shell gives it: 128 + signal for a signal
  int signal = 0;
};

// Starts the program in a process group of its own, so that signals reach its children too. The
// kernel kills it, but not its children, when the launcher dies. A rank that has ended stays a
// zombie until this object goes: the number of its group cannot be given to anybody else meanwhile.
class RankProcess {
 public:
  // Throws Failure with the status for it when the program is not there or cannot be started.
  RankProcess(const Program& program, const StandardStreams& streams, const Signals& signals);
  ~RankProcess();  // kills what is left of the group
  RankProcess(RankProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  RankProcess& operator=(RankProcess&&) = delete;

  pid_t pid() const noexcept { return pid_; }
  std::optional<ExitState> ended() const;  // does not wait
  void send(int signal) const;             // to the whole group

 private:
  pid_t pid_ = 0;
};

}  // namespace muster::tool

// The signals that a launcher passes on.
#pragma once

#include "file_descriptor.h"

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <utility>
#include <vector>

namespace muster::tool {

// While it lives, signals to this process wait in a descriptor instead of acting, whichever thread
// they reach: profilers and drivers start threads of their own. A signal that was ignored when the
// launcher started (nohup) stays ignored. One at a time.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const noexcept { return waiting_.get(); }
  std::optional<int> next() const;  // nothing when none is waiting
  pid_t fork() const;               // a child in which signals act as in a new program

 private:
  std::vector<std::pair<int, struct sigaction>> before_;
  struct sigaction pipe_before_ {};
  sigset_t mask_before_{};
  FileDescriptor waiting_;
  FileDescriptor arriving_;
};

}  // namespace muster::tool

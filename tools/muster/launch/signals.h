// The signals that a launcher passes on.
#pragma once

#include "file_descriptor.h"

#include <csignal>
#include <optional>

namespace muster::tool {

// While it lives, signals to this process wait in a descriptor instead of acting. A signal that was
// ignored when the launcher started (nohup) stays ignored.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const noexcept { return descriptor_.get(); }
  std::optional<int> next() const;  // nothing when none is waiting
  void restore_in_child() const;    // between fork and exec

 private:
  sigset_t before_{};
  struct sigaction pipe_before_ {};
  FileDescriptor descriptor_;
};

}  // namespace muster::tool

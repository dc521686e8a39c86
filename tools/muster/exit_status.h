// How muster's commands end, and the error that ends one early.
#pragma once

#include <stdexcept>
#include <string>

namespace muster::tool {

// Those of `timeout`, `env` and the container tools, so that they do not look like a program's own.
enum ExitStatus : int {
  exit_success = 0,
  exit_wrong = 1,              // a benchmark found wrong bytes
  exit_wrong_under_mpi = 123,  // the same under mpiexec, which ends with 1 when it fails itself
  exit_timed_out = 124,        // --timeout passed
  exit_failed = 125,           // muster itself failed: a bad option, no memory, a rank that crashed
  exit_not_executable = 126,   // the program is there but cannot be started
  exit_not_found = 127,        // there is no such program
  exit_signal = 128,           // + the signal that killed the rank
};

inline constexpr const char* exit_statuses =
    "Exit status: the program's own (of the first rank that fails), 128 + signal if it was "
    "killed,\n"
    "124 after --timeout, 125 if muster itself fails, 126 if the program cannot be started, 127 "
    "if\n"
    "there is no such program.";

// Ends a command; main prints the text and returns the status.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& text, int status = exit_failed)
      : std::runtime_error(text), status_(status) {}
  int status() const noexcept { return status_; }

 private:
  int status_;
};

}  // namespace muster::tool

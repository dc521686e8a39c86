// Forked processes that tell a test how it went.
#pragma once

#include "world/unique_fd.h"

#include <muster/error.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include <sys/types.h>

namespace muster::test {

// How a body ended: well, with a muster::Error, or in a way that no test expects.
struct Outcome {
  enum class Kind { success, error, other } kind = Kind::other;
  ErrorCode code = ErrorCode::system;
  std::optional<int> peer;
  std::string text;

  bool succeeded() const { return kind == Kind::success; }
  bool failed_with(ErrorCode expected) const { return kind == Kind::error && code == expected; }
};

Outcome outcome_of(const std::function<void()>& body);

// Runs a body in a forked process. Killed, if need be, and reaped when destroyed.
class Child {
 public:
  explicit Child(const std::function<void()>& body);
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const;
  // Of kind `other` when the process was killed, or is silent for longer than that.
  Outcome wait(std::chrono::milliseconds longest = std::chrono::seconds(30));

 private:
  world::UniqueFd report_;
  pid_t pid_;
};

}  // namespace muster::test

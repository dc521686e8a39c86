// By which number the ranks of a group find each other's sessions.
#pragma once

#include "ort.h"

#include <muster/group.h>

#include <functional>
#include <memory>
#include <string>

namespace muster::onnxruntime {

// What a session's nodes over one group have in common: a number. Sessions with the same tag and
// group are numbered in the order in which they are made, so that the n-th of one rank meets the
// n-th of the others, whichever runs first. A session whose nodes have not met anybody gives its
// number back when it fails or is destroyed, if it was the last: members agree on who has met, and
// so count the same again after a failure that not all of them saw. Thread-safe.
class SessionNumber {
 public:
  // The number of the session that makes this kernel; all its kernels share one object.
  static std::shared_ptr<SessionNumber> of(const OrtKernelInfo* info,
                                           const std::string& tag,
                                           const Group& group);
  ~SessionNumber();
  SessionNumber(const SessionNumber&) = delete;
  SessionNumber& operator=(const SessionNumber&) = delete;

  // Calls `meet` with the number. What it throws means that nobody was met.
  void with(const std::function<void(int)>& meet);

 private:
  explicit SessionNumber(int& made);
  void give_back() noexcept;

  int& made_;       // by all sessions with this tag and group
  int number_ = 0;  // 0: none at the moment
  bool met_ = false;
};

}  // namespace muster::onnxruntime

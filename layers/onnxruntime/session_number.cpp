#include "session_number.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

namespace muster::onnxruntime {

namespace {

// The same for members that disagree about the order.
using SessionGroup = std::pair<std::string, std::vector<int>>;  // tag, sorted ranks

struct Sessions {
  std::mutex mutex;
  std::map<SessionGroup, int> made;
  std::map<std::pair<const OrtLogger*, SessionGroup>, std::weak_ptr<SessionNumber>> live;
};

// Kernels may be destroyed when all else is gone.
Sessions& sessions() {
  static auto& all = *new Sessions;
  return all;
}

// A kernel cannot see its session, but its session's logger, which no other session has.
const OrtLogger* logger_of(const OrtKernelInfo* info) {
  const OrtLogger* logger = nullptr;
  Ort::ThrowOnError(Ort::GetApi().KernelInfo_GetLogger(info, &logger));
  return logger;
}

}  // namespace

std::shared_ptr<SessionNumber> SessionNumber::of(const OrtKernelInfo* info,
                                                 const std::string& tag,
                                                 const Group& group) {
  std::vector<int> ranks(group.ranks().begin(), group.ranks().end());
  std::sort(ranks.begin(), ranks.end());
  const SessionGroup key{tag, ranks};
  const std::lock_guard lock(sessions().mutex);
  std::erase_if(sessions().live, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<SessionNumber>& known = sessions().live[{logger_of(info), key}];
  if (auto number = known.lock()) return number;
  std::shared_ptr<SessionNumber> number(new SessionNumber(sessions().made[key]));
  known = number;
  return number;
}

SessionNumber::SessionNumber(int& made) : made_(made), number_(++made) {}

SessionNumber::~SessionNumber() {
  const std::lock_guard lock(sessions().mutex);
  give_back();
}

void SessionNumber::give_back() noexcept {
  if (!met_ && number_ != 0 && number_ == made_) --made_;
  if (!met_) number_ = 0;
}

void SessionNumber::with(const std::function<void(int)>& meet) {
  std::unique_lock lock(sessions().mutex);
  if (number_ == 0) number_ = ++made_;
  const int number = number_;
  lock.unlock();
  try {
    meet(number);
  } catch (...) {
    lock.lock();
    if (number_ == number) give_back();
    throw;
  }
  lock.lock();
  met_ = true;
  number_ = number;  // another node may have failed meanwhile
  made_ = std::max(made_, number);
}

}  // namespace muster::onnxruntime

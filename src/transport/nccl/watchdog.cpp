#include "transport/nccl/watchdog.h"

#include <utility>

namespace muster::transport::nccl {

Watchdog::Watchdog(std::function<void()> look)
    : look_(std::move(look)), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::start() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(started_, true)) return;
  }
  changed_.notify_all();
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return started_ || stopped_; });
  while (!changed_.wait_for(lock, period, [&] { return stopped_; })) {
    lock.unlock();
    look_();
    lock.lock();
  }
}

}  // namespace muster::transport::nccl

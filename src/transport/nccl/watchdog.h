// A thread that looks at something again and again.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace muster::transport::nccl {

class Watchdog {
 public:
  static constexpr auto period = std::chrono::milliseconds(10);

  // Sleeps until start(). `look` must not throw.
  explicit Watchdog(std::function<void()> look);
  ~Watchdog();  // returns when `look` is not, and will not be, called
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void start();

 private:
  void run();

  const std::function<void()> look_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace muster::transport::nccl

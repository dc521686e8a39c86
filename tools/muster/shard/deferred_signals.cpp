#include "shard/deferred_signals.h"

#include "exit_status.h"

namespace muster::tool {
namespace {

constexpr int ending[] = {SIGINT, SIGTERM, SIGHUP};

sigset_t deferred{};  // those of them that wait

}  // namespace

DeferredSignals::DeferredSignals() {
  ::sigprocmask(SIG_BLOCK, nullptr, &before_);
  sigemptyset(&deferred);
  for (const int number : ending) {
    struct sigaction current {};
    ::sigaction(number, nullptr, &current);
    const bool ignored = current.sa_handler == SIG_IGN;  // as nohup wants SIGHUP
    if (!ignored && sigismember(&before_, number) == 0) sigaddset(&deferred, number);
  }
  ::sigprocmask(SIG_BLOCK, &deferred, nullptr);
}

DeferredSignals::~DeferredSignals() {
  sigemptyset(&deferred);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void give_way_to_signals() {
  sigset_t waiting;
  ::sigpending(&waiting);
  for (const int number : ending) {
    if (sigismember(&deferred, number) == 1 && sigismember(&waiting, number) == 1) {
      throw Failure("interrupted", exit_signal + number);
    }
  }
}

}  // namespace muster::tool

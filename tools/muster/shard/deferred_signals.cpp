#include "shard/deferred_signals.h"

#include "exit_status.h"

namespace muster::tool {
namespace {

constexpr int deferred[] = {SIGINT, SIGTERM, SIGHUP};

}  // namespace

DeferredSignals::DeferredSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : deferred) {
    struct sigaction current {};
    ::sigaction(number, nullptr, &current);
    if (current.sa_handler != SIG_IGN) sigaddset(&set, number);  // as nohup wants SIGHUP
  }
  ::sigprocmask(SIG_BLOCK, &set, &before_);
}

DeferredSignals::~DeferredSignals() {
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void give_way_to_signals() {
  sigset_t waiting;
  ::sigpending(&waiting);
  for (const int number : deferred) {
    if (sigismember(&waiting, number) == 1) throw Failure("interrupted", exit_signal + number);
  }
}

}  // namespace muster::tool

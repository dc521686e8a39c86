// Signals that end a program, kept back while it has something to clean up.
#pragma once

#include <csignal>

namespace muster::tool {

// While it lives, SIGINT, SIGTERM and SIGHUP wait, unless they were ignored or blocked before;
// whichever came acts when it is destroyed. One object at a time, on a thread that is the only one.
class DeferredSignals {
 public:
  DeferredSignals();
  ~DeferredSignals();
  DeferredSignals(const DeferredSignals&) = delete;
  DeferredSignals& operator=(const DeferredSignals&) = delete;

 private:
  sigset_t before_{};
};

// Throws Failure if a signal waits, so that what it interrupts is cleaned up on the way out.
void give_way_to_signals();

}  // namespace muster::tool

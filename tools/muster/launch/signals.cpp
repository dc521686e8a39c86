#include "launch/signals.h"

#include "exit_status.h"

#include <sys/signalfd.h>

namespace muster::tool {

Signals::Signals() {
  sigset_t taken;
  sigemptyset(&taken);
  sigaddset(&taken, SIGCHLD);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2}) {
    struct sigaction current {};
    if (::sigaction(number, nullptr, &current) == 0 && current.sa_handler != SIG_IGN) {
      sigaddset(&taken, number);
    }
  }
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &action, nullptr);  // ignoring it would reap the ranks unseen
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, &pipe_before_);
  ::sigprocmask(SIG_BLOCK, &taken, &before_);
  descriptor_ = FileDescriptor(::signalfd(-1, &taken, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!descriptor_) throw Failure("cannot make a signalfd");
}

Signals::~Signals() {
  restore_in_child();
}

void Signals::restore_in_child() const {
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> Signals::next() const {
  signalfd_siginfo signal{};
  if (::read(fd(), &signal, sizeof(signal)) != sizeof(signal)) return std::nullopt;
  return static_cast<int>(signal.ssi_signo);
}

}  // namespace muster::tool

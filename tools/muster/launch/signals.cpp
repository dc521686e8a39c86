#include "launch/signals.h"

#include "exit_status.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

namespace muster::tool {
namespace {

constinit std::atomic<int> arriving = -1;

extern "C" void keep(int number) {
  const int error = errno;
  const auto byte = static_cast<unsigned char>(number);
  // Where there is no room, more wait than anybody sends.
  [[maybe_unused]] const auto written = ::write(arriving, &byte, 1);
  errno = error;
}

void act_by_default(int number) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(number, &action, nullptr);
}

}  // namespace

Signals::Signals() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw Failure("cannot make a pipe");
  waiting_ = FileDescriptor(ends[0]);
  arriving_ = FileDescriptor(ends[1]);
  arriving = arriving_.get();

  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, &pipe_before_);
  action.sa_handler = keep;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  sigset_t taken;
  sigemptyset(&taken);
  for (const int number :
       {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2}) {
    struct sigaction before {};
    ::sigaction(number, nullptr, &before);
    // To ignore SIGCHLD would reap the ranks unseen.
    if (before.sa_handler == SIG_IGN && number != SIGCHLD) continue;
    ::sigaction(number, &action, nullptr);
    before_.emplace_back(number, before);
    sigaddset(&taken, number);
  }
  ::pthread_sigmask(SIG_UNBLOCK, &taken, &mask_before_);  // who started it may have blocked them
}

Signals::~Signals() {
  for (const auto& [number, before] : before_) ::sigaction(number, &before, nullptr);
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  while (const auto number = next()) {  // what came too late to be passed on
    if (*number != SIGCHLD && *number != SIGCONT) ::raise(*number);
  }
}

std::optional<int> Signals::next() const {
  unsigned char number = 0;
  if (::read(fd(), &number, 1) != 1) return std::nullopt;
  return number;
}

// A signal to the child must not wait in the descriptor, which is this process's too.
pid_t Signals::fork() const {
  sigset_t all, mask;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &mask);
  const pid_t child = ::fork();
  const int error = errno;
  if (child == 0) {
    for (const auto& [number, before] : before_) act_by_default(number);
    ::sigaction(SIGPIPE, &pipe_before_, nullptr);
    mask = mask_before_;
  }
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  errno = error;
  return child;
}

}  // namespace muster::tool

#include "system_calls.h"

#include <sys/prctl.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#ifndef PR_SET_SYSCALL_USER_DISPATCH  // <linux/prctl.h> of Linux 5.11
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

namespace muster::test {
namespace {

constexpr unsigned long dispatch_off = 0;
constexpr unsigned long dispatch_on = 1;
constexpr char let_pass = 0;
constexpr char stop = 1;

thread_local volatile char selector = let_pass;  // the kernel reads it at every system call
thread_local volatile bool noticed = false;

// Carries out the call that was stopped. Further ones pass, among them the return from here.
void on_system_call(int /*signal*/, siginfo_t* /*info*/, void* context) {
  selector = let_pass;
  noticed = true;
  auto& r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const int error_before = errno;
  const long result =
      ::syscall(r[REG_RAX], r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
  r[REG_RAX] = result == -1 ? -errno : result;
  errno = error_before;
}

int set_dispatch(unsigned long mode) {
  return ::prctl(PR_SET_SYSCALL_USER_DISPATCH,
                 mode,
                 0UL,
                 0UL,
                 mode == dispatch_on ? const_cast<char*>(&selector) : nullptr);
}

void handle_signal() {
  struct sigaction action {};
  action.sa_sigaction = on_system_call;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSYS, &action, nullptr);
}

}  // namespace

SystemCalls::SystemCalls() {
  handle_signal();
  if (set_dispatch(dispatch_on) != 0) {
    throw std::system_error(errno, std::generic_category(), "PR_SET_SYSCALL_USER_DISPATCH");
  }
}

SystemCalls::~SystemCalls() {
  set_dispatch(dispatch_off);
}

bool SystemCalls::can_be_noticed() {
  if (set_dispatch(dispatch_on) != 0) return false;
  return set_dispatch(dispatch_off) == 0;
}

void SystemCalls::begin() noexcept {
  noticed = false;
  selector = stop;
}

bool SystemCalls::end() noexcept {
  selector = let_pass;
  return noticed;
}

}  // namespace muster::test

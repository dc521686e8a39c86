#include "machine/kernel.h"

#include "file_descriptor.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

namespace muster::tool {
namespace {

bool has_memfd() {
  const FileDescriptor memory(::memfd_create("muster-info", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  return static_cast<bool>(memory);
}

bool has_pidfd() {
  const FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  return static_cast<bool>(process);
}

bool has_futex_waitv() {
  // Without a list to wait for it complains of that, if it is there.
  return ::syscall(SYS_futex_waitv, nullptr, 0, 0, nullptr, 0) == -1 && errno == EINVAL;
}

}  // namespace

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

std::vector<std::pair<std::string, bool>> kernel_features() {
  return {{"memfd", has_memfd()}, {"pidfd", has_pidfd()}, {"futex_waitv", has_futex_waitv()}};
}

}  // namespace muster::tool

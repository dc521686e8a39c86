#include "launch/rendezvous_directory.h"

#include "exit_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

fs::path base_directory() {
  for (const char* variable : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && value[0] == '/' && ::access(value, W_OK | X_OK) == 0) return value;
  }
  return "/tmp";
}

std::string prefix() {
  return fmt::format("muster-{}-", ::geteuid());
}

// The directory, locked; nothing if it is gone, not ours, or another launcher's.
FileDescriptor lock(const fs::path& path) {
  FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!directory || ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0 ||
      ::fstat(directory.get(), &status) != 0 || status.st_uid != ::geteuid() ||
      status.st_nlink == 0) {  // removed between open and flock
    return {};
  }
  return directory;
}

void sweep(const fs::path& base) {
  std::error_code ignored;  // a stale directory that cannot be removed hurts nobody
  for (const auto& entry : fs::directory_iterator(base, ignored)) {
    if (!entry.path().filename().string().starts_with(prefix())) continue;
    if (const FileDescriptor stale = lock(entry.path())) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

RendezvousDirectory::RendezvousDirectory() {
  const fs::path base = base_directory();
  sweep(base);
  while (!lock_) {  // a launcher that sweeps may lock and remove it first
    std::string name = base / (prefix() + "XXXXXX");
    if (::mkdtemp(name.data()) == nullptr) {
      throw Failure(
          fmt::format("cannot make a directory in {}: {}", base.string(), strerror(errno)));
    }
    path_ = name;
    lock_ = lock(path_);
  }
  if (::mkdir(for_ranks().c_str(), 0700) != 0) {
    throw Failure(fmt::format("cannot make {}: {}", for_ranks().string(), strerror(errno)));
  }
}

RendezvousDirectory::~RendezvousDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace muster::tool

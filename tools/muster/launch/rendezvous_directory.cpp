#include "launch/rendezvous_directory.h"

#include "exit_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

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

// A directory, locked, or why it is not: EWOULDBLOCK if it is another launcher's, ENOENT if it is
// gone, EPERM if it is not ours.
struct Lock {
  FileDescriptor directory;
  int error = 0;
};

Lock lock(const fs::path& path) {
  FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!directory || ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0 ||
      ::fstat(directory.get(), &status) != 0) {
    return {.directory = {}, .error = errno};
  }
  if (status.st_uid != ::geteuid()) return {.directory = {}, .error = EPERM};
  if (status.st_nlink == 0) return {.directory = {}, .error = ENOENT};  // since it was opened
  return {.directory = std::move(directory)};
}

constexpr std::string_view unique_part = "XXXXXX";
constexpr std::string_view ranks = "ranks";

// Did a launcher make it? The user may like the name as well.
bool is_a_launchers(const fs::path& path) {
  const std::string name = path.filename();
  std::error_code ignored;
  const fs::directory_iterator content(path, ignored);
  return name.starts_with(prefix()) && name.size() == prefix().size() + unique_part.size() &&
         fs::symlink_status(path, ignored).permissions() == fs::perms::owner_all &&
         std::all_of(begin(content), end(content), [](const fs::directory_entry& entry) {
           return entry.path().filename() == ranks;
         });
}

void sweep(const fs::path& base) {
  std::error_code ignored;  // a stale directory that cannot be removed hurts nobody
  for (const auto& entry : fs::directory_iterator(base, ignored)) {
    if (!is_a_launchers(entry.path())) continue;
    const Lock stale = lock(entry.path());
    if (stale.directory) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

RendezvousDirectory::RendezvousDirectory() {
  const fs::path base = base_directory();
  sweep(base);
  while (!lock_) {  // a launcher that sweeps may lock and remove it first
    std::string name = base / (prefix() + std::string(unique_part));
    if (::mkdtemp(name.data()) == nullptr) {
      throw Failure(
          fmt::format("cannot make a directory in {}: {}", base.string(), strerror(errno)));
    }
    path_ = name;
    Lock made = lock(path_);
    lock_ = std::move(made.directory);
    if (lock_ || made.error == EWOULDBLOCK || made.error == ENOENT) continue;
    ::rmdir(path_.c_str());
    throw Failure(fmt::format(
        "cannot lock {}: {} (TMPDIR names another place)", path_.string(), strerror(made.error)));
  }
  if (::mkdir(for_ranks().c_str(), 0700) != 0) {
    throw Failure(fmt::format("cannot make {}: {}", for_ranks().string(), strerror(errno)));
  }
}

fs::path RendezvousDirectory::for_ranks() const {
  return path_ / ranks;
}

RendezvousDirectory::~RendezvousDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace muster::tool

#include "model/replacement.h"

#include "exit_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path) {
  throw Failure(fmt::format("{}: cannot be written: {}", path.string(), strerror(errno)));
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

}  // namespace

Replacement::Replacement(fs::path path)
    : path_(std::move(path)),
      unfinished_(folder_of(path_) / fmt::format(".muster-{}.npy", ::getpid())) {
  // The rename would replace a file that may not be written.
  if (::access(path_.c_str(), W_OK) != 0 && errno != ENOENT) fail(path_);
  // Without a name nothing is left of it when this process is killed.
  file_ = FileDescriptor(::open(folder_of(path_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
  if (file_) return;
  // Not every file system has such files.
  file_ =
      FileDescriptor(::open(unfinished_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file_) fail(path_);
  is_named_ = true;
}

Replacement::~Replacement() {
  if (is_named_) ::unlink(unfinished_.c_str());
}

void Replacement::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void Replacement::complete() {
  // Some file systems say only now that there was no room.
  if (::fsync(file_.get()) != 0) fail(path_);
  if (!is_named_) {
    const std::string file = fmt::format("/proc/self/fd/{}", file_.get());
    const auto link_as = [&file](const fs::path& name) {
      return ::linkat(AT_FDCWD, file.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
    };
    if (link_as(path_)) return;
    if (errno != EEXIST) fail(path_);
    // Only a file with a name can replace another; it has one for this moment.
    ::unlink(unfinished_.c_str());  // left by another process of this number
    is_named_ = link_as(unfinished_);
    if (!is_named_) fail(path_);
  }
  if (::rename(unfinished_.c_str(), path_.c_str()) != 0) fail(path_);
  is_named_ = false;
}

}  // namespace muster::tool

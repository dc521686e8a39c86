#include "shard/new_directory.h"

#include "exit_status.h"
#include "shard/deferred_signals.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

// "dir/" and "dir" are the same place, and so is "." the folder by its name.
fs::path cleaned(const fs::path& path) {
  std::error_code ignored;
  fs::path clean = fs::absolute(path, ignored).lexically_normal();
  return clean.has_filename() ? clean : clean.parent_path();
}

mode_t file_mode_mask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

[[noreturn]] void fail(const fs::path& path, const std::string& why) {
  throw Failure(fmt::format("cannot make {}: {}", path.string(), why));
}

}  // namespace

NewDirectory::NewDirectory(const fs::path& final_path) : final_path_(cleaned(final_path)) {
  std::error_code error;
  // A link to an empty directory is none: the rename would not replace it.
  const fs::file_status there = fs::symlink_status(final_path_, error);
  if (fs::exists(there) && !(fs::is_directory(there) && fs::is_empty(final_path_, error))) {
    fail(final_path, "it is there already");
  }
  std::string name = final_path_.string() + ".new-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) fail(final_path, std::strerror(errno));
  path_ = name;
}

NewDirectory::~NewDirectory() {
  std::error_code ignored;  // there is nobody to tell
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

void NewDirectory::publish() {
  // mkdtemp made it for its owner alone.
  if (::chmod(path_.c_str(), 0777 & ~file_mode_mask()) != 0) {
    fail(final_path_, std::strerror(errno));
  }
  give_way_to_signals();
  if (::rename(path_.c_str(), final_path_.c_str()) != 0) {
    fail(final_path_, std::strerror(errno));
  }
  path_.clear();
}

}  // namespace muster::tool

#include "shard/new_directory.h"

#include "exit_status.h"
#include "shard/deferred_signals.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

// "dir/" and "dir" are the same place. All else is left to the system: what "link/.." is, only it
// can say.
fs::path without_slash(const fs::path& path) {
  return path.has_filename() || path == path.root_path() ? path : path.parent_path();
}

bool is_there(const fs::path& path) {
  std::error_code ignored;  // then it is none that we can use
  return fs::is_directory(path, ignored);
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

NewDirectory::NewDirectory(const fs::path& final_path)
    : final_path_(without_slash(final_path)), was_there_(is_there(final_path_)) {
  std::error_code error;
  const bool taken = fs::exists(fs::symlink_status(final_path_, error));
  if (taken && !(was_there_ && fs::is_empty(final_path_, error))) {
    fail(final_path, "it is there already");
  }
  // What is there may be where something is mounted: files can be renamed only within it.
  std::string name =
      was_there_ ? (final_path_ / ".new-XXXXXX").string() : final_path_.string() + ".new-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) fail(final_path, std::strerror(errno));
  path_ = name;
}

NewDirectory::~NewDirectory() {
  std::error_code ignored;  // there is nobody to tell
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

void NewDirectory::publish() {
  give_way_to_signals();
  was_there_ ? move_files() : rename_it();
  path_.clear();
}

void NewDirectory::rename_it() {
  // mkdtemp made it for its owner alone.
  if (::chmod(path_.c_str(), 0777 & ~file_mode_mask()) != 0 ||
      ::rename(path_.c_str(), final_path_.c_str()) != 0) {
    fail(final_path_, std::strerror(errno));
  }
}

void NewDirectory::move_files() {
  const auto entries = [](const fs::path& directory) {
    return std::vector<fs::path>(fs::directory_iterator(directory), {});
  };
  if (entries(final_path_).size() != 1) fail(final_path_, "somebody else put files there");
  std::vector<fs::path> moved;
  for (const fs::path& file : entries(path_)) {
    const fs::path place = final_path_ / file.filename();
    if (::rename(file.c_str(), place.c_str()) != 0) {
      const int why = errno;
      for (const fs::path& each : moved) ::unlink(each.c_str());
      fail(final_path_, std::strerror(why));
    }
    moved.push_back(place);
  }
  ::rmdir(path_.c_str());
}

}  // namespace muster::tool

// A directory that appears whole or not at all.
#pragma once

#include <filesystem>

namespace muster::tool {

// Made under another name, and removed with all in it unless published. A directory that is there
// and empty is kept, and filled.
class NewDirectory {
 public:
  // Throws Failure if `final_path` is there already, unless as an empty directory (or a link to
  // one), or if no directory can be made there.
  explicit NewDirectory(const std::filesystem::path& final_path);
  ~NewDirectory();
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;

  // Where to put its files.
  const std::filesystem::path& path() const noexcept { return path_; }

  // Gives it its final name, or moves its files to the directory that was there. Throws Failure if
  // somebody else took that meanwhile, or if a deferred signal waits.
  void publish();

 private:
  void rename_it();
  void move_files();

  std::filesystem::path final_path_;
  bool was_there_;
  std::filesystem::path path_;  // empty when there is nothing to remove
};

}  // namespace muster::tool

// A directory that appears whole or not at all.
#pragma once

#include <filesystem>

namespace muster::tool {

// Made beside its final place under another name, and removed with all in it unless published.
class NewDirectory {
 public:
  // Throws Failure if `final_path` is there already, unless as an empty directory, or if its parent
  // is not a directory where one can be made.
  explicit NewDirectory(const std::filesystem::path& final_path);
  ~NewDirectory();
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

  // Gives it its final name. Throws Failure if somebody else took that meanwhile, or if a deferred
  // signal waits.
  void publish();

 private:
  std::filesystem::path final_path_;
  std::filesystem::path path_;  // empty when there is nothing to remove
};

}  // namespace muster::tool

// The directory where the ranks of one job meet.
#pragma once

#include "file_descriptor.h"

#include <filesystem>

namespace muster::tool {

// Makes muster-<uid>-XXXXXX/ranks, both of mode 0700, under $XDG_RUNTIME_DIR, $TMPDIR or /tmp, and
// removes them when it goes. A launcher that is killed leaves its directory behind; it holds a lock
// on it while it lives, so the next launcher of the same user finds those that nobody locks and
// removes them, if they look as it made them. The ranks have a directory of their own in it,
// because they lock and remove theirs.
class RendezvousDirectory {
 public:
  RendezvousDirectory();
  ~RendezvousDirectory();
  RendezvousDirectory(const RendezvousDirectory&) = delete;
  RendezvousDirectory& operator=(const RendezvousDirectory&) = delete;

  std::filesystem::path for_ranks() const;

 private:
  std::filesystem::path path_;
  FileDescriptor lock_;
};

}  // namespace muster::tool

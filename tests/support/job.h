// The ranks of a job as processes, started as a launcher starts them.
#pragma once

#include "support/process.h"

#include <string>
#include <vector>

namespace muster::test {

// The private directory in which ranks meet. Removed when destroyed, if the ranks have not done so.
class RendezvousDirectory {
 public:
  RendezvousDirectory();
  ~RendezvousDirectory();
  RendezvousDirectory(const RendezvousDirectory&) = delete;
  RendezvousDirectory& operator=(const RendezvousDirectory&) = delete;

  const std::string& path() const noexcept { return path_; }
  bool exists() const;

 private:
  std::string path_;
};

// What a launcher sets for a rank.
std::vector<std::string> rank_environment(int rank,
                                          int size,
                                          const std::string& directory,
                                          const std::string& token);

// All ranks of a world, each a process in the same role.
class Job {
 public:
  Job(int size, const std::string& role, const std::string& argument);

  int size() const noexcept { return static_cast<int>(ranks_.size()); }
  Process& operator[](int rank) { return ranks_.at(static_cast<std::size_t>(rank)); }
  const RendezvousDirectory& directory() const noexcept { return directory_; }

  // Waits until all have ended; what those that failed have told.
  std::string wait(Clock::time_point deadline);

 private:
  RendezvousDirectory directory_;
  std::vector<Process> ranks_;
};

}  // namespace muster::test

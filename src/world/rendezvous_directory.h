// The directory where the ranks of a job find each other: one socket a rank, named by its number.
#pragma once

#include "world/unix_socket.h"

#include <chrono>
#include <filesystem>
#include <string>

namespace muster::world {

// This user's own use of the directory. Leaves nothing behind: the destructor unlinks this rank's
// socket, and removes the directory once it is empty.
class RendezvousDirectory {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Makes the directory, with mode 0700, if it does not exist.
  // Throws invalid_argument unless it is a directory of this user that nobody else can use; system.
  explicit RendezvousDirectory(std::filesystem::path path);
  ~RendezvousDirectory();
  RendezvousDirectory(const RendezvousDirectory&) = delete;
  RendezvousDirectory& operator=(const RendezvousDirectory&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

  // Binds this rank's socket, in place of what a killed process has left, and listens. Once.
  // Throws invalid_argument when a live process has the rank; timeout when others keep the
  // directory locked; system.
  void take_place(int rank, Deadline deadline);
  int listener() const noexcept { return listener_.get(); }

  // ENOENT, ECONNREFUSED or EAGAIN while that rank is not there (yet).
  SocketOrError call(int rank) const { return connect_in(directory_.get(), std::to_string(rank)); }

  // Unlinks the sockets of ranks below `size` whose processes have been killed.
  void remove_dead(int size) noexcept;

 private:
  bool bind_place(Deadline deadline);
  SocketOrError call_or_sweep(const std::string& name) const;

  std::filesystem::path path_;
  UniqueFd directory_;
  UniqueFd listener_;
  std::string name_;  // of this rank's socket
};

}  // namespace muster::world

#include "world/rendezvous_directory.h"

#include "world/system_error.h"

#include <cerrno>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::world {
namespace {

// Another rank may leave, and remove the directory, between two system calls of this one. That it
// happens over and over means something else.
constexpr int max_attempts = 10;

// flock(2) while a socket is tested and replaced: one that is bound but does not listen yet looks
// like one whose process was killed.
class DirectoryLock {
 public:
  DirectoryLock(int directory, RendezvousDirectory::Deadline deadline) : directory_(directory) {
    while (::flock(directory_, LOCK_EX | LOCK_NB) != 0) {
      error_number_ = errno;
      if (error_number_ != EWOULDBLOCK || std::chrono::steady_clock::now() >= deadline) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    error_number_ = 0;
  }
  // Not left to close(2): a forked child would keep the lock.
  ~DirectoryLock() {
    if (error_number_ == 0) ::flock(directory_, LOCK_UN);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  int error_number() const noexcept { return error_number_; }  // 0 when it is held

 private:
  int directory_;
  int error_number_ = 0;
};

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& reason) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("rendezvous directory {} {}", path.string(), reason));
}

void require_private(const std::filesystem::path& path, int directory) {
  struct stat status {};
  if (::fstat(directory, &status) != 0) throw system_error("stat " + path.string(), errno);
  if (status.st_uid != ::geteuid())
    refuse(path,
           fmt::format("belongs to user {}, this process runs as user {}: name one of its own",
                       status.st_uid,
                       ::geteuid()));
  if ((status.st_mode & 077) != 0)
    refuse(path,
           fmt::format("has mode {:04o}, so that other users could join: chmod it to 0700",
                       status.st_mode & 07777));
}

// Empty when another rank, which has left, removed the directory at this moment.
UniqueFd open_or_make(const std::filesystem::path& path) {
  const bool made = ::mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) refuse(path, system_error("cannot be made", errno).what());
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) return directory;
  const int error_number = errno;
  if (made) ::rmdir(path.c_str());
  if (error_number == ENOENT) return {};
  if (error_number == EMFILE || error_number == ENFILE)
    throw system_error("open " + path.string(), error_number);
  refuse(path, system_error("cannot be opened", error_number).what());
}

UniqueFd open_private(const std::filesystem::path& path) {
  for (int attempt = 0; attempt < max_attempts; ++attempt) {
    UniqueFd directory = open_or_make(path);
    if (!directory) continue;
    require_private(path, directory.get());
    return directory;
  }
  refuse(path, "disappears as soon as it is made");
}

}  // namespace

RendezvousDirectory::RendezvousDirectory(std::filesystem::path path)
    : path_(std::move(path)), directory_(open_private(path_)) {}

RendezvousDirectory::~RendezvousDirectory() {
  // In this order: a socket without listener would be swept, and the name could be another's then.
  if (listener_) ::unlinkat(directory_.get(), name_.c_str(), 0);
  ::rmdir(path_.c_str());  // ENOTEMPTY while other ranks are in it
}

void RendezvousDirectory::take_place(int rank, Deadline deadline) {
  name_ = std::to_string(rank);
  for (int attempt = 1; !bind_place(deadline); ++attempt) {
    if (attempt == max_attempts)
      throw system_error("bind a socket in /proc/self/fd for " + path_.string(), ENOENT);
    directory_ = open_private(path_);
  }
}

// False when the directory was removed, by another rank that has left.
bool RendezvousDirectory::bind_place(Deadline deadline) {
  const DirectoryLock lock(directory_.get(), deadline);
  if (lock.error_number() == EWOULDBLOCK)
    throw Error(ErrorCode::timeout,
                fmt::format("rank {} cannot take its place: another process keeps {} locked",
                            name_,
                            path_.string()));
  if (lock.error_number() != 0) throw system_error("flock " + path_.string(), lock.error_number());

  const SocketOrError holder = call_or_sweep(name_);
  if (holder.socket || holder.error_number == EAGAIN)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("rank {} is taken by {} in {}: start each rank once",
                            name_,
                            holder.socket ? process_name(peer_credentials(holder.socket.get()).pid)
                                          : "a process that does not answer",
                            path_.string()));

  SocketOrError place = listen_in(directory_.get(), name_);
  if (place.error_number == ENOENT) return false;
  if (!place.socket)
    throw system_error(fmt::format("bind {}/{}", path_.string(), name_), place.error_number);
  listener_ = std::move(place.socket);
  return true;
}

SocketOrError RendezvousDirectory::call_or_sweep(const std::string& name) const {
  SocketOrError holder = connect_in(directory_.get(), name);
  struct stat status {};
  if (holder.error_number == ECONNREFUSED &&
      ::fstatat(directory_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISSOCK(status.st_mode))
    ::unlinkat(directory_.get(), name.c_str(), 0);
  return holder;
}

void RendezvousDirectory::remove_dead(int size) noexcept {
  const DirectoryLock lock(directory_.get(), Deadline::min());
  if (lock.error_number() != 0) return;  // whoever holds it is alive, and will leave after this
  for (int rank = 0; rank < size; ++rank) call_or_sweep(std::to_string(rank));
}

}  // namespace muster::world

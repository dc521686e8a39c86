// How the processes of a job find each other and get hold of each other's memory.
#pragma once

#include "world/launcher_environment.h"
#include "world/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <vector>

#include <sys/types.h>

namespace muster::world {

// What a rank holds of one peer after the rendezvous.
struct PeerLink {
  UniqueFd socket;  // non-blocking SOCK_SEQPACKET; ends when the peer's process is gone
  UniqueFd pidfd;   // readable when the peer's process is gone; empty if not to be had
  UniqueFd arena;   // the peer's arena: a memfd, its size and seals verified
  std::size_t arena_bytes = 0;
  pid_t pid = 0;  // 0 when the peer is in another pid namespace
};

// Meets all other ranks of the job and exchanges arenas with each: element r of the result is rank
// r's link, this rank's own element is empty. `arena_fd` (a memfd sealed against shrinking, of
// `arena_bytes`) stays the caller's. When it returns, this rank's socket is gone from the
// directory, and the last rank to finish has removed the directory.
//
// Throws invalid_argument (the rank is taken, the directory is not a private one), mismatch (a peer
// of another job, world size or protocol version), timeout naming the ranks that did not come,
// system.
std::vector<PeerLink> meet(const LauncherEnvironment& environment,
                           int arena_fd,
                           std::size_t arena_bytes,
                           std::chrono::steady_clock::time_point deadline);

}  // namespace muster::world

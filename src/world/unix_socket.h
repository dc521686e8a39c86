// Unix sockets in a directory that carry messages and descriptors; see unix(7).
//
// SOCK_SEQPACKET: a message arrives whole, with the descriptors that were sent with it, or not at
// all. Every socket and every received descriptor is close-on-exec; every socket is non-blocking.
#pragma once

#include "world/unique_fd.h"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/socket.h>

namespace muster::world {

// A socket, or the errno value that says why there is none.
struct SocketOrError {
  UniqueFd socket;
  int error_number = 0;
};

// The directory is an open descriptor, so that its path may be longer than a socket's address
// (108 bytes) and cannot be exchanged for another meanwhile.
SocketOrError listen_in(int directory, const std::string& name);
SocketOrError connect_in(int directory, const std::string& name);
// EAGAIN when nobody is waiting.
SocketOrError accept_from(int listener);

// Of the process that called listen() or connect() at the other end. pid is 0 when it is in another
// pid namespace.
ucred peer_credentials(int socket);

// "process 1234", also for 0.
std::string process_name(pid_t pid);

struct Message {
  std::array<std::byte, 512> buffer;
  std::size_t bytes = 0;  // what is behind the buffer is lost
  std::vector<UniqueFd> descriptors;
  bool descriptors_lost = false;  // this process had no room for them

  bool is_end() const { return bytes == 0; }  // the other end is closed
  std::span<const std::byte> payload() const { return std::span(buffer).first(bytes); }
};

// Nothing when no message is there yet.
std::optional<Message> receive(int socket);

// Sends a message, with a descriptor unless it is negative. 0, or an errno value: EAGAIN and
// ETOOMANYREFS (this user has too many descriptors in flight) pass with time.
int send(int socket, std::span<const std::byte> payload, int descriptor = -1);

}  // namespace muster::world

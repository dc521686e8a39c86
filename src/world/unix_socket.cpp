#include "world/unix_socket.h"

#include "world/system_error.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/un.h>

namespace muster::world {
namespace {

// Room to see that a peer sent more descriptors than the one it should.
constexpr std::size_t max_descriptors = 4;

union ControlBuffer {
  cmsghdr alignment;
  std::array<char, CMSG_SPACE(max_descriptors * sizeof(int))> bytes;
};

SocketOrError open_socket() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int error_number = socket ? 0 : errno;
  return {std::move(socket), error_number};
}

sockaddr_un address_in(int directory, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  fmt::format_to_n(
      address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/{}", directory, name);
  return address;
}

using AddressCall = int (*)(int, const sockaddr*, socklen_t);

SocketOrError open_at(AddressCall call, int directory, const std::string& name) {
  SocketOrError result = open_socket();
  if (!result.socket) return result;
  const sockaddr_un address = address_in(directory, name);
  if (call(result.socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return {UniqueFd(), errno};
  return result;
}

std::vector<UniqueFd> take_descriptors(msghdr& header) {
  std::vector<UniqueFd> descriptors;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
  return descriptors;
}

}  // namespace

SocketOrError listen_in(int directory, const std::string& name) {
  SocketOrError result = open_at(::bind, directory, name);
  if (result.socket && ::listen(result.socket.get(), SOMAXCONN) != 0) return {UniqueFd(), errno};
  return result;
}

SocketOrError connect_in(int directory, const std::string& name) {
  return open_at(::connect, directory, name);
}

SocketOrError accept_from(int listener) {
  UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const int error_number = socket ? 0 : errno;
  return {std::move(socket), error_number};
}

ucred peer_credentials(int socket) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0)
    throw system_error("read a peer's credentials", errno);
  return credentials;
}

std::string process_name(pid_t pid) {
  return pid > 0 ? fmt::format("process {}", pid) : "a process of another pid namespace";
}

std::optional<Message> receive(int socket) {
  Message message;
  ControlBuffer control;
  iovec part{message.buffer.data(), message.buffer.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = &control;
  header.msg_controllen = sizeof control;
  const ssize_t received = ::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    if (errno == ECONNRESET) return message;
    throw system_error("receive from a peer", errno);
  }
  message.bytes = static_cast<std::size_t>(received);
  message.descriptors = take_descriptors(header);
  message.descriptors_lost =
      (header.msg_flags & MSG_CTRUNC) != 0 && message.descriptors.size() < max_descriptors;
  return message;
}

int send(int socket, std::span<const std::byte> payload, int descriptor) {
  ControlBuffer control{};
  iovec part{const_cast<std::byte*>(payload.data()), payload.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(sizeof descriptor);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

}  // namespace muster::world

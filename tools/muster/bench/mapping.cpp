#include "bench/mapping.h"

#include "exit_status.h"
#include "file_descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace muster::tool {
namespace {

std::span<std::byte> map(std::size_t bytes, int flags, int descriptor) {
  if (bytes == 0) return {};
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (address == MAP_FAILED) {
    throw Failure(fmt::format("cannot map {} bytes: {}", bytes, strerror(errno)));
  }
  return {static_cast<std::byte*>(address), bytes};
}

// Where another process of the same user finds a descriptor of this one.
struct Offer {
  pid_t process = 0;
  int descriptor = -1;
  std::size_t bytes = 0;
};

Mapping accept(const Offer& offer) {
  if (offer.bytes == 0) return {};
  const auto path = fmt::format("/proc/{}/fd/{}", offer.process, offer.descriptor);
  const FileDescriptor memory(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!memory) throw Failure(fmt::format("cannot open {}: {}", path, strerror(errno)));
  return {offer.bytes, memory.get()};
}

}  // namespace

Mapping::Mapping(std::size_t bytes) : bytes_(map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1)) {
  prefault(bytes_);
}

Mapping::Mapping(std::size_t bytes, int descriptor) : bytes_(map(bytes, MAP_SHARED, descriptor)) {
  prefault(bytes_);
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

void prefault(std::span<std::byte> memory) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  for (std::size_t at = 0; at < memory.size(); at += page) {
    *static_cast<volatile std::byte*>(&memory[at]) = std::byte{};
  }
}

std::vector<Mapping> share_memory(World& world, std::size_t bytes) {
  const FileDescriptor own(::memfd_create("muster-bench", MFD_CLOEXEC));
  if (!own || ::ftruncate(own.get(), static_cast<off_t>(bytes)) != 0) {
    throw Failure(fmt::format("cannot make {} bytes of memory: {}", bytes, strerror(errno)));
  }
  const Offer offer{.process = ::getpid(), .descriptor = own.get(), .bytes = bytes};
  const Group everyone = Group::range(world.size());
  std::vector<Mapping> result;
  for (const auto& blob : world.exchange(everyone, std::as_bytes(std::span(&offer, 1)))) {
    Offer peer;
    std::memcpy(&peer, blob.data(), sizeof(peer));
    result.push_back(accept(peer));
  }
  world.exchange(everyone, {});  // nobody closes a descriptor that a peer has yet to open
  return result;
}

}  // namespace muster::tool

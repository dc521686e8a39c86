#include "world/arena.h"

#include "muster/error.h"
#include "world/limits.h"
#include "world/system_error.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

namespace muster::world {

namespace {

constexpr std::size_t page = 4096;
// Processors that fetch lines in pairs share them in pairs.
constexpr std::size_t two_cache_lines = 128;
constexpr std::size_t mib = std::size_t{1} << 20;

// Ranges from this size on are whole pages long.
constexpr std::size_t large = 64 << 10;

// Free memory above this goes back to the system; below it, it is kept for the next Buffer.
constexpr std::size_t idle_bytes_kept = 256 * mib;

// What is committed in one call.
constexpr std::size_t longest_commit = 4 * mib;

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

UniqueFd make_memfd(std::size_t bytes) {
  rlimit limit{};  // beyond which the kernel does not refuse, but ends the process by SIGXFSZ
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && bytes > limit.rlim_cur) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("an arena of {} bytes is a longer file than this process may have, {} "
                            "bytes (see `ulimit -f`; MUSTER_ARENA_BYTES makes it smaller)",
                            bytes,
                            limit.rlim_cur));
  }
  UniqueFd fd(memfd_create("muster-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw system_error("memfd_create for the arena", errno);
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    throw system_error(fmt::format("sizing the arena to {} bytes", bytes), errno);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    throw system_error("sealing the arena", errno);
  }
  return fd;
}

}  // namespace

Mapping::Mapping(int fd, std::size_t bytes) : bytes_(bytes) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (address == MAP_FAILED) {
    throw Error(
        ErrorCode::out_of_memory,
        fmt::format("mapping an arena of {} bytes: {} (MUSTER_ARENA_BYTES makes it smaller)",
                    bytes,
                    std::strerror(errno)));
  }
  base_ = static_cast<std::byte*>(address);
  madvise(address, bytes, MADV_DONTFORK);
  madvise(address, bytes, MADV_DONTDUMP);
}

Mapping::~Mapping() {
  munmap(base_, bytes_);
}

Arena::Arena(std::byte* base, std::size_t bytes, std::size_t alignment)
    : base_(base), bytes_(bytes), alignment_(alignment) {
  free_.emplace(0, FreeRange{bytes, false});
}

Arena::FreeRanges::iterator Arena::find_free(std::size_t bytes) {
  auto found = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second.bytes < bytes) continue;
    if (it->second.committed) return it;
    if (found == free_.end()) found = it;
  }
  return found;
}

Range Arena::allocate(std::size_t bytes, bool zeroed) {
  const bool too_large = bytes > bytes_;
  const std::size_t rounded =
      round_up(std::max<std::size_t>(bytes, 1), bytes < large ? alignment_ : page);
  std::lock_guard lock(mutex_);
  sweep();
  auto found = too_large ? free_.end() : find_free(rounded);
  if (found == free_.end() && !too_large) {
    decommit_idle();  // joins free neighbours of which only one was committed
    found = find_free(rounded);
  }
  if (found == free_.end()) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("no room for {} bytes in the arena of {} bytes (MUSTER_ARENA_BYTES "
                            "makes it larger)",
                            bytes,
                            bytes_));
  }
  const Range range{found->first, rounded};
  const FreeRange whole = found->second;
  if (!whole.committed) commit(range);
  free_.erase(found);
  if (whole.bytes > rounded) {
    free_.emplace(range.end(), FreeRange{whole.bytes - rounded, whole.committed});
  }
  if (whole.committed) idle_bytes_ -= rounded;
  if (zeroed) zero(range);
  return range;
}

// Without memory for a note of it the range is lost, which harms nobody.
void Arena::free(Range range, std::shared_ptr<const Hold> hold) noexcept try {
  std::lock_guard lock(mutex_);
  if (hold && hold->holder()) quarantine(range, std::move(hold));
  retired_.push_back(range);
  sweep();
  if (idle_bytes_ > idle_bytes_kept) decommit_idle();
} catch (const std::bad_alloc&) {
}

void Arena::insert_free(Range range, bool committed) {
  if (committed) idle_bytes_ += range.bytes;
  auto next = free_.lower_bound(range.offset);
  // Neighbours are joined only when alike: a join must not forget what is committed.
  if (next != free_.end() && next->first == range.end() && next->second.committed == committed) {
    range.bytes += next->second.bytes;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second.bytes == range.offset &&
        previous->second.committed == committed) {
      previous->second.bytes += range.bytes;
      return;
    }
  }
  free_.emplace(range.offset, FreeRange{range.bytes, committed});
}

void Arena::decommit_idle() {
  std::vector<Range> surplus;
  for (const auto& [offset, free] : free_) {
    if (free.committed) surplus.push_back({offset, free.bytes});
  }
  for (const Range& range : surplus) {
    const std::size_t begin = round_up(range.offset, page);
    const std::size_t end = range.end() / page * page;
    if (end <= begin || !decommit({begin, end - begin})) continue;
    free_.erase(range.offset);
    idle_bytes_ -= range.bytes;
    if (begin > range.offset) insert_free({range.offset, begin - range.offset}, true);
    insert_free({begin, end - begin}, false);
    if (range.end() > end) insert_free({end, range.end() - end}, true);
  }
}

void Arena::quarantine(Range range, std::shared_ptr<const Hold> hold) {
  std::lock_guard lock(quarantine_mutex_);
  quarantined_.push_back({range, std::move(hold)});
  quarantined_count_.store(quarantined_.size(), std::memory_order_release);
}

bool Arena::is_held(Range range) const {
  return std::any_of(quarantined_.begin(), quarantined_.end(), [&](const Quarantined& q) {
    return q.range.overlaps(range);
  });
}

std::optional<int> Arena::holder(Range range) {
  if (!any_quarantined()) return std::nullopt;
  std::lock_guard lock(quarantine_mutex_);
  release_quarantined();
  for (const Quarantined& q : quarantined_) {
    if (q.range.overlaps(range)) return q.hold->holder();
  }
  return std::nullopt;
}

void Arena::release_quarantined() {
  std::erase_if(quarantined_, [](const Quarantined& q) { return !q.hold->holder(); });
  quarantined_count_.store(quarantined_.size(), std::memory_order_release);
}

void Arena::sweep() {
  std::lock_guard lock(quarantine_mutex_);
  release_quarantined();
  std::erase_if(retired_, [&](const Range& range) {
    if (is_held(range)) return false;
    insert_free(range, true);
    return true;
  });
}

std::optional<std::size_t> Arena::offset_of(const void* data, std::size_t bytes) const noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const auto begin = reinterpret_cast<std::uintptr_t>(base_);
  if (address < begin || address - begin > bytes_) return std::nullopt;
  const std::size_t offset = address - begin;
  if (bytes > bytes_ - offset) return std::nullopt;
  return offset;
}

HostArena::Memory::Memory(std::size_t bytes)
    : fd(make_memfd(bytes)), mapping(std::make_shared<Mapping>(fd.get(), bytes)) {}

HostArena::HostArena(std::size_t bytes) : HostArena(Memory(bytes)) {}

HostArena::HostArena(Memory memory)
    : Arena(memory.mapping->base(), memory.mapping->bytes(), two_cache_lines),
      memory_(std::move(memory)) {}

void HostArena::commit(Range range) {
  // The kernel would rather kill somebody than refuse these pages.
  if (range.bytes >= mib && range.bytes > available_memory()) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("{} bytes asked of the arena, {} are available on this machine",
                            range.bytes,
                            available_memory()));
  }
  // A signal undoes a call that is under way, so each is short.
  const std::size_t end = round_up(range.end(), page);
  for (std::size_t begin = range.offset / page * page; begin < end;) {
    const std::size_t bytes = std::min(end - begin, longest_commit);
    if (fallocate(
            fd(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin), static_cast<off_t>(bytes)) == 0) {
      begin += bytes;
    } else if (errno != EINTR) {
      throw Error(
          ErrorCode::out_of_memory,
          fmt::format(
              "no memory for {} bytes in the arena: {}", range.bytes, std::strerror(errno)));
    }
  }
}

bool HostArena::decommit(Range range) noexcept {
  return fallocate(fd(),
                   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(range.offset),
                   static_cast<off_t>(range.bytes)) == 0;
}

void HostArena::zero(Range range) {
  std::memset(base() + range.offset, 0, range.bytes);
}

std::size_t default_arena_bytes(int ranks) {
  if (const char* text = std::getenv("MUSTER_ARENA_BYTES")) {
    const std::string_view value(text);
    std::size_t bytes = 0;
    const auto [end, error] = std::from_chars(value.begin(), value.end(), bytes);
    if (error != std::errc{} || end != value.end() || bytes < mib || bytes > (mib << 26)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("MUSTER_ARENA_BYTES is '{}', not a number of bytes from {} to {}",
                              value,
                              mib,
                              mib << 26));
    }
    return round_up(bytes, page);
  }
  // Room for all of the machine's memory twice over, so that fragmentation does not matter, as long
  // as the arenas of all ranks, which every process maps, take a small part of the address space.
  const auto physical = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * page;
  std::size_t bytes = std::bit_ceil(2 * physical);
  bytes = std::min(bytes, (std::size_t{16} << 40) / static_cast<std::size_t>(ranks));
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    bytes = std::min(bytes, limit.rlim_cur / (2 * static_cast<std::size_t>(ranks)));
  }
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0) bytes = std::min(bytes, limit.rlim_cur / page * page);
  return round_up(std::max(bytes, 4 * mib), page);
}

}  // namespace muster::world

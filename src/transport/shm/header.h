// The header that every member writes for every other in every call.
#pragma once

#include "transport/transport.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace muster::transport::shm {

inline constexpr std::uint64_t private_memory = ~std::uint64_t{0};

// A short section comes along with the header: it lies in the sender's outbox. Which is short
// depends on what the other way would be, and that, where members use alike memory, on the sender's
// own output: a push costs a second trip, but moves each byte once; staging costs more.
inline constexpr std::size_t outbox_bytes = 2048;
inline constexpr std::size_t longest_before_push = 512;

// What a header says. Offsets are into the sender's arena; private_memory where a tensor does not
// lie there. What most gathers on GPUs need comes first: it travels in packets of a single cache
// line (cuda/agreement.cuh), at which many wait.
struct Header {
  static constexpr int extent_bytes = 6;  // enough for 256 TiB of elements

  std::uint8_t operation = 1;  // all_gather; there is no other yet
  std::uint8_t dtype = 0;
  std::uint8_t dimensions = 0;
  std::uint8_t gather_dim = 0;
  std::uint32_t in_outbox = 0;   // 1: the section lies in the sender's outbox
  std::uint64_t shape_hash = 0;  // of the shape without the gathered extent
  std::uint64_t row_bytes = 0;   // of the section
  std::uint64_t output_row_bytes = 0;
  std::int64_t in_place_offset = Gather::not_in_place;
  std::uint64_t output_stride = 0;
  std::uint64_t output_offset = private_memory;
  std::uint64_t shard_stride = 0;
  std::uint64_t shard_offset = private_memory;
  std::uint8_t extents[Shape::max_dimensions][extent_bytes] = {};  // little-endian

  Shape shape() const;  // whatever the header says, a shape

  friend bool operator==(const Header&, const Header&) = default;
};
static_assert(std::has_unique_object_representations_v<Header>);

// A header in shared memory, and of which call it is. The word is written last and read first. It
// lies in another cache line than most of the header, which is written only when it is another one
// than the sender's call before had: then the reader takes a single line from the writer.
struct alignas(128) HeaderSlot {
  Header header;
  std::atomic<std::uint64_t> word;

  static constexpr std::uint64_t word_of(std::uint64_t call, bool is_new) noexcept {
    return call << 1 | (is_new ? 1 : 0);
  }
  static constexpr std::uint64_t call_of(std::uint64_t word) noexcept { return word >> 1; }
  static constexpr bool is_new(std::uint64_t word) noexcept { return (word & 1) != 0; }
};
static_assert(sizeof(HeaderSlot) == 128);

Header make_header(const Gather& gather,
                   std::optional<std::size_t> shard_offset,
                   std::optional<std::size_t> output_offset);

// Could a member of this version have written it, for an arena of this size and this many rows?
// Everything that is read from another process passes here before it is used.
bool is_sane(const Header& header, std::size_t outer, std::size_t arena_bytes);

// Do two members gather the same thing, as far as one pair can tell?
bool agree(const Header& a, const Header& b);

// "shape [8, 64128] bfloat16 along dimension 1"
std::string describe(const Header& header);

}  // namespace muster::transport::shm

// A member's staging area: a ring of pieces in its arena, through which a section passes on its way
// from ordinary memory to ordinary memory.
#pragma once

#include "transport/shm/endpoint.h"
#include "world/arena.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace muster::transport::shm {

class Staging {
 public:
  static constexpr std::size_t bytes = std::size_t{2} << 20;

  explicit Staging(const Endpoint& endpoint) : endpoint_(endpoint) {}

  // Makes the area at its first use and shows peers where it is. Throws out_of_memory.
  void require();

  // The area's place in this rank's arena, for whoever gives it back.
  std::optional<world::Range> range() const noexcept { return range_; }

  std::byte* piece(std::size_t number, std::size_t section_bytes) const noexcept;

  // A piece in the area of member i; null when that member shows a place that it cannot have.
  const std::byte* piece_of(int i, std::size_t number, std::size_t section_bytes) const noexcept;

  // How a section is cut. Small enough to stay in a core's cache between the copy in and the copy
  // out, large enough that flags do not count, and several to a section, so that both overlap.
  static std::size_t piece_bytes(std::size_t section_bytes) noexcept {
    return std::clamp(section_bytes / 4, smallest_piece, largest_piece) / 64 * 64;
  }
  static std::size_t pieces(std::size_t section_bytes) noexcept {
    const std::size_t piece = piece_bytes(section_bytes);
    return (section_bytes + piece - 1) / piece;
  }
  // How many pieces the area holds at a time.
  static std::size_t depth(std::size_t section_bytes) noexcept {
    return bytes / piece_bytes(section_bytes);
  }

  // Flags are the call and the number of pieces done, so that they only ever grow.
  static std::uint64_t flag(std::uint64_t call, std::size_t pieces_done) noexcept {
    return call << 24 | pieces_done;
  }
  // Pieces done of a call, as a flag tells.
  static std::size_t pieces_done(std::uint64_t flag, std::uint64_t call) noexcept {
    return flag >> 24 == call ? flag & 0xffffff : 0;
  }

 private:
  static constexpr std::size_t smallest_piece = 32 << 10;
  static constexpr std::size_t largest_piece = 256 << 10;

  const Endpoint& endpoint_;
  std::optional<world::Range> range_;
};

}  // namespace muster::transport::shm

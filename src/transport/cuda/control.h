// What the members of a GPU communicator write for each other, and what host and kernel tell each
// other. Shared by host and device code.
#pragma once

#include "transport/shm/header.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace muster::transport::cuda {

using shm::Header;
using shm::private_memory;

// The pointers to all members travel as a kernel's argument, and sets of members are 32-bit masks.
inline constexpr int most_members = 32;

// Blocks of a kernel at most; see Grid.
inline constexpr int most_blocks = 64;
inline constexpr int threads_a_block = 512;

inline constexpr std::size_t cache_line = 128;  // of a GPU

// A packet of the LL protocol: 8 bytes of payload in two 64-bit words {data32, flag32}, each of
// which is stored and loaded whole. (PTX ISA, memory consistency model: a vector access is a set of
// scalar accesses in no order.)
struct alignas(16) Packet {
  std::uint64_t low;
  std::uint64_t high;
};
inline constexpr std::size_t packet_payload = 8;

// A packet's flag is a call's number, as far as 32 bits hold it. So that what lies there is not
// taken for news 2^32 calls later, all packets get new flags once in so many calls: in two of them
// behind each other, for either slot in its own.
inline constexpr std::uint64_t calls_a_renewal = std::uint64_t{1} << 31;
constexpr bool renews_packets(std::uint64_t call) {
  return (call + 1) % calls_a_renewal < 2;
}

inline constexpr int header_words = sizeof(Header) / 8;
inline constexpr int packets_a_header = 16;  // the last ones are not used
static_assert(header_words < packets_a_header);

// What a member keeps for itself, in its device memory.
struct alignas(cache_line) Own {
  std::uint64_t started;     // the last call that has begun
  std::uint64_t row_blocks;  // of all calls so far that moved rows; the same for all members
  std::uint32_t failed;      // 1: kernels return at once
  std::uint32_t claimed;     // 1: somebody writes the report

  // Of the call under way: tickets that warps have drawn for this member's section; see Deal.
  alignas(cache_line) std::uint32_t tickets;

  // The calls that have ended. Each block of a call reads a word that no other block writes, and
  // the blocks that there are write them all, so that none waits for another to count a call.
  alignas(cache_line) std::uint64_t calls[most_blocks];

  // Has every block left the last call that has begun?
  bool idle() const {
    return std::all_of(calls, calls + most_blocks, [&](auto call) { return call == started; });
  }
};

// A staged section travels in pieces. Each block has a ring of its own, so that it waits for nobody
// but its like on the other members, whose grids are equal.
inline constexpr std::size_t piece_bytes = 16 << 10;
inline constexpr int ring_pieces = 2;

// A member's part of a communicator in its device memory, laid out for a group of `members`.
struct Layout {
  int members;
  std::size_t slot_bytes;  // of packets, from one member to another

  // The longest whole output whose sections travel as packets. A member knows only its own section
  // when it starts, and any one may be as long as the output: that is why slots are this large.
  static constexpr std::size_t packed_output(int members) {
    const std::size_t most = (std::size_t{1} << 20) / static_cast<std::size_t>(members);
    return most < (128 << 10) ? most : (128 << 10);
  }
  static constexpr Layout of(int members) {
    return {members, packed_output(members) / packet_payload * sizeof(Packet)};
  }

  // Offsets. `call` chooses one of two slots: that of call - 2 has been read by all when a member
  // has read their headers of call - 1.
  // A count: blocks of that member that have moved their rows, over all calls that moved rows.
  constexpr std::size_t finished(int from) const {
    return sizeof(Own) + 8 * static_cast<std::size_t>(from);
  }
  // The call in which that member's kernel has given up.
  constexpr std::size_t gave_up(int from) const {
    return finished(members) + 8 * static_cast<std::size_t>(from);
  }
  constexpr std::size_t header(int from, std::uint64_t call) const {
    return round_up(gave_up(members)) +
           sizeof(Packet) * packets_a_header *
               (static_cast<std::size_t>(from) * 2 + static_cast<std::size_t>(call & 1));
  }
  constexpr std::size_t control_bytes() const { return header(members, 0); }

  constexpr std::size_t packets(int from, std::uint64_t call) const {
    return control_bytes() +
           slot_bytes * (static_cast<std::size_t>(from) * 2 + static_cast<std::size_t>(call & 1));
  }
  constexpr std::size_t published(int from, int block) const {
    return packets(members, 0) +
           8 * (static_cast<std::size_t>(from) * most_blocks + static_cast<std::size_t>(block));
  }
  constexpr std::size_t taken(int from, int block) const {
    return published(members, 0) +
           8 * (static_cast<std::size_t>(from) * most_blocks + static_cast<std::size_t>(block));
  }
  constexpr std::size_t piece(int block, std::uint64_t number) const {
    return round_up(taken(members, 0)) +
           piece_bytes * (static_cast<std::size_t>(block) * ring_pieces +
                          static_cast<std::size_t>(number % ring_pieces));
  }
  constexpr std::size_t bytes() const { return piece(most_blocks, 0); }

 private:
  static constexpr std::size_t round_up(std::size_t offset) {
    return (offset + cache_line - 1) / cache_line * cache_line;
  }
};

// Why a kernel gave up.
enum class Reason : std::uint32_t {
  none = 0,
  mismatch,   // the headers do not agree; they are in the report
  timeout,    // some members did not come in time
  lost,       // a member left or died
  elsewhere,  // the host said that the communicator has failed
};

// Host memory that the device has mapped: what the host tells kernels, and what a kernel that gave
// up tells the host.
struct alignas(cache_line) Mapped {
  // Written by the host, read by kernels that wait.
  std::uint32_t failed;  // 1: the communicator has failed
  std::uint32_t ended;   // by position: the member will never write again
  Own own;               // a copy, for the host

  // Written by the first block that gives up, `reason` last.
  alignas(cache_line) std::uint64_t call;
  std::uint32_t members;  // by position: who is to blame
  std::uint32_t reason;   // a Reason
  std::uint64_t outer;

  // Behind it lie, of a mismatch, the headers of all members.
  static constexpr std::size_t bytes(int members) {
    return sizeof(Mapped) + static_cast<std::size_t>(members) * sizeof(Header);
  }
};

// A member's memory as this device sees it.
struct Member {
  std::byte* control;  // a Layout
  std::byte* arena;
  std::uint64_t arena_bytes;
};

// What divides bytes of a section that travels as packets by the length of its rows, on a device
// where a division takes as long as a look at memory: byte / row_bytes is
// byte * reciprocal >> reciprocal_bits, while both are at most 2^20.
inline constexpr int reciprocal_bits = 40;
constexpr std::uint64_t reciprocal_of(std::uint64_t row_bytes) {
  return row_bytes == 0 ? 0 : (std::uint64_t{1} << reciprocal_bits) / row_bytes + 1;
}

// How the batches of a long section are dealt out to warps. The first ones are each a warp's own;
// the others belong to tickets, which warps draw in turn: runs at first, then single ones, so that
// all warps end at the same time.
struct Deal {
  static constexpr std::uint32_t singles_a_warp = 3;

  std::uint32_t warps;
  std::uint32_t run;   // batches of a ticket
  std::uint32_t runs;  // tickets that are for so many

  static constexpr std::uint32_t least_batches(std::uint32_t warps) {
    return warps * (1 + singles_a_warp);
  }
  static constexpr Deal of(std::uint32_t batches, std::uint32_t warps, std::uint32_t run) {
    return {warps, run, (batches - least_batches(warps)) / run};
  }
  constexpr std::uint32_t first(std::uint32_t ticket) const {
    const std::uint32_t before = ticket < runs ? ticket : runs;
    return warps + before * run + (ticket - before);
  }
  constexpr std::uint32_t count(std::uint32_t ticket) const { return ticket < runs ? run : 1; }
};

// All that a kernel is told.
struct Arguments {
  int self;
  int size;
  const std::byte* shard;
  std::byte* output;
  std::uint64_t shard_stride;
  std::uint64_t output_stride;
  std::uint64_t outer;
  std::uint64_t reciprocal;  // of the length of this member's rows
  Header header;             // this member's
  Layout layout;
  Mapped* mapped;
  std::uint64_t timeout_ns;
  bool one_gpu;       // are all members threads of this process, on one GPU?
  std::uint32_t run;  // batches of a long section that a warp takes at once; see Deal
  Member members[most_members];
};

}  // namespace muster::transport::cuda

// The control memory of one member of one communicator, in that member's arena: what its peers
// write for it, and what it shows them.
#pragma once

#include "muster/error.h"
#include "transport/shm/header.h"
#include "world/futex.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace muster::transport::shm {

// A member at rest, as its peers see it. The member writes all but `bell`.
struct alignas(64) Doorbell {
  world::FutexWord bell;     // bumped to wake the member
  world::FutexWord awaited;  // 0: awake; 1 + position of the member waited for; or anybody
  std::atomic<std::int64_t> heartbeat;  // when it last looked around, ns; 0: it is not waiting
  std::array<std::atomic<std::uint64_t>, 2> missing;  // by position: whom it is waiting for
  std::atomic<std::uint64_t> staging_offset;          // of its staging area, once it has one
};
inline constexpr std::uint32_t anybody = ~std::uint32_t{0};
static_assert(sizeof(Doorbell) == 64);

// Why the communicator failed. Written once, by the first of all members to claim it.
struct alignas(64) FailureRecord {
  enum State : std::uint32_t { none = 0, claimed = 1, written = 2 };
  static constexpr std::size_t text_capacity = 436;

  std::atomic<std::uint32_t> state;
  std::uint8_t code;     // an ErrorCode
  std::int16_t culprit;  // world rank, or -1
  std::uint16_t length;
  char text[text_capacity];
};
static_assert(sizeof(FailureRecord) == 448);

// What one peer tells this member. Only ever grows.
struct alignas(64) PeerWords {
  std::atomic<std::uint64_t> pushed;     // call: the peer has written its rows to my output
  std::atomic<std::uint64_t> pulled;     // call: the peer has read my shard
  std::atomic<std::uint64_t> published;  // (call, pieces): the peer has staged so many for me
  std::atomic<std::uint64_t> taken;      // (call, pieces): the peer has read so many of mine
  std::atomic<std::uint32_t> ended;      // 1: the peer will never write to my memory again
};
static_assert(sizeof(PeerWords) == 64);

struct Mailbox {
  std::array<HeaderSlot, 2> slots;  // by call number & 1
};

// One member's control memory at an address, laid out for a group of `members`.
class ControlView {
 public:
  static std::size_t bytes(int members) noexcept {
    return mailboxes_offset(members) + static_cast<std::size_t>(members) * sizeof(Mailbox) +
           2 * outbox_bytes;
  }

  ControlView() = default;
  ControlView(std::byte* base, int members) noexcept : base_(base), members_(members) {}

  Doorbell& doorbell() const noexcept { return at<Doorbell>(0); }
  FailureRecord& failure() const noexcept { return at<FailureRecord>(sizeof(Doorbell)); }
  PeerWords& from(int peer) const noexcept {
    return at<PeerWords>(words_offset + static_cast<std::size_t>(peer) * sizeof(PeerWords));
  }
  HeaderSlot& slot(int peer, std::uint64_t call) const noexcept {
    return at<Mailbox>(mailboxes_offset(members_) +
                       static_cast<std::size_t>(peer) * sizeof(Mailbox))
        .slots[call & 1];
  }
  std::byte* outbox(std::uint64_t call) const noexcept {
    return base_ + mailboxes_offset(members_) +
           static_cast<std::size_t>(members_) * sizeof(Mailbox) + (call & 1) * outbox_bytes;
  }

 private:
  static constexpr std::size_t words_offset = sizeof(Doorbell) + sizeof(FailureRecord);
  static std::size_t mailboxes_offset(int members) noexcept {
    const std::size_t end = words_offset + static_cast<std::size_t>(members) * sizeof(PeerWords);
    return (end + alignof(Mailbox) - 1) / alignof(Mailbox) * alignof(Mailbox);
  }
  template <typename T>
  T& at(std::size_t offset) const noexcept {
    return *reinterpret_cast<T*>(base_ + offset);
  }

  std::byte* base_ = nullptr;
  int members_ = 0;
};

}  // namespace muster::transport::shm

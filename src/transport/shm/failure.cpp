#include "transport/shm/failure.h"

#include "world/control.h"
#include "world/deadline.h"
#include "world/liveness.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace muster::transport::shm {

namespace {

// Peers that run end their side within the time of one piece of a copy; a stopped one is not worth
// waiting for.
constexpr auto longest_settling = std::chrono::milliseconds(20);

void write_record(FailureRecord& record, const Error& error) {
  std::uint32_t none = FailureRecord::none;
  if (!record.state.compare_exchange_strong(none, FailureRecord::claimed)) return;
  const std::string_view text = error.what();
  record.code = static_cast<std::uint8_t>(error.code());
  record.culprit = static_cast<std::int16_t>(error.peer().value_or(-1));
  record.length = static_cast<std::uint16_t>(std::min(text.size(), FailureRecord::text_capacity));
  std::memcpy(record.text, text.data(), record.length);
  record.state.store(FailureRecord::written, std::memory_order_seq_cst);
}

void ring(Doorbell& doorbell) noexcept {
  doorbell.bell.fetch_add(1, std::memory_order_seq_cst);
  world::futex_wake_all(doorbell.bell);
}

}  // namespace

// Held by the peers that have not ended their side. Once nobody holds, nobody ever does again,
// whatever becomes of the control memory that it looked at. It is kept by the arena, which is part
// of the state, and so does not keep the state itself.
class PeersHold : public world::Hold {
 public:
  PeersHold(const Endpoint& endpoint, Writes writes)
      : liveness_(endpoint.state->liveness()),
        group_(endpoint.group),
        self_(endpoint.self),
        own_(endpoint.own()),
        writes_(writes) {}

  std::optional<int> holder() const noexcept override {
    if (released_.load(std::memory_order_acquire)) return std::nullopt;
    for (int i = 0; i < group_.size(); ++i) {
      if (i == self_ || own_.from(i).ended.load(std::memory_order_acquire) != 0) continue;
      const bool writes_no_more =
          writes_ == Writes::by_threads ? liveness_.lost(group_[i]) : liveness_.gone(group_[i]);
      if (!writes_no_more) return group_[i];
    }
    released_.store(true, std::memory_order_release);
    return std::nullopt;
  }

 private:
  const world::Liveness& liveness_;
  const Group group_;
  const int self_;
  const ControlView own_;
  const Writes writes_;
  mutable std::atomic<bool> released_ = false;
};

Failures::Failures(const Endpoint& endpoint, Writes writes)
    : endpoint_(endpoint), hold_(std::make_shared<PeersHold>(endpoint, writes)) {}

Error Failures::recorded_at(int i) const {
  const FailureRecord& record = endpoint_.of(i).failure();
  // Whoever claimed the record is writing it now, unless it was stopped or killed over it.
  const auto patience = world::Clock::now() + longest_settling;
  while (record.state.load(std::memory_order_acquire) != FailureRecord::written) {
    if (world::Clock::now() > patience) return unwritten_failure();
    std::this_thread::yield();
  }
  const auto code = static_cast<ErrorCode>(
      std::min<std::uint8_t>(record.code, static_cast<std::uint8_t>(ErrorCode::system)));
  const std::string text(record.text,
                         std::min<std::size_t>(record.length, FailureRecord::text_capacity));
  const std::optional<int> culprit =
      record.culprit < 0 ? std::nullopt : std::optional<int>(record.culprit);
  return Error(code, text, culprit);
}

// Of a failure that nobody has put into words: whoever began to was stopped or killed.
Error Failures::unwritten_failure() const {
  for (const int rank : endpoint_.group.ranks()) {
    if (rank != endpoint_.state->rank() && endpoint_.state->liveness().lost(rank)) {
      return Error(ErrorCode::peer_lost,
                   fmt::format("{}: rank {} is lost", endpoint_.operation(), rank),
                   rank);
    }
  }
  return Error(ErrorCode::peer_lost, endpoint_.operation() + ": the communicator has failed");
}

void Failures::announce(const Error& error) noexcept {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  // Whoever learnt of a failure passes on that one: the first reason is everybody's.
  const Error first = failed() ? recorded() : error;
  write_record(endpoint_.own().failure(), first);
  endpoint_.for_each_peer([&](int i) {
    write_record(endpoint_.of(i).failure(), first);
    ring(endpoint_.of(i).doorbell());
    world::ring_attention(endpoint_.state->control_of(endpoint_.group[i]));
  });
  ring(endpoint_.own().doorbell());
  world::ring_attention(endpoint_.state->control_of(endpoint_.state->rank()));
}

void Failures::abort(std::string_view text) {
  const int rank = endpoint_.state->rank();
  announce(Error(ErrorCode::peer_lost,
                 fmt::format("{}: rank {} aborted: {}", endpoint_.operation(), rank, text),
                 rank));
}

void Failures::end() noexcept {
  const std::lock_guard lock(mutex_);
  if (std::exchange(ended_, true)) return;
  endpoint_.for_each_peer([&](int i) {
    Doorbell& doorbell = endpoint_.of(i).doorbell();
    doorbell.bell.fetch_add(1, std::memory_order_seq_cst);
    endpoint_.of(i).from(endpoint_.self).ended.store(1, std::memory_order_seq_cst);
    world::futex_wake_all(doorbell.bell);  // by its address alone: this writes nothing
  });
}

bool Failures::wait_for_peers_to_end() const noexcept {
  const auto patience = world::Clock::now() + longest_settling;
  while (const auto rank = hold_->holder()) {
    const bool tells_nothing_more = endpoint_.state->liveness().lost(*rank);
    if (tells_nothing_more || world::Clock::now() > patience) return false;
    std::this_thread::yield();
  }
  return true;
}

void Failures::keep_from_peers(world::Arena& arena, world::Range range) {
  if (hold_->holder()) arena.quarantine(range, hold_);
}

std::shared_ptr<const world::Hold> Failures::peers() const noexcept {
  return hold_;
}

// A member ends its side when it leaves, and when the communicator has failed.
Error Failures::reason_of_end(int i) const {
  if (failed()) return recorded();
  if (failed_at(i)) return recorded_at(i);
  const int rank = endpoint_.group[i];
  const bool died = endpoint_.state->liveness().fate(rank) == world::Fate::died;
  return Error(
      ErrorCode::peer_lost,
      fmt::format(
          "{}: rank {} {}", endpoint_.operation(), rank, died ? "died" : "left the communicator"),
      rank);
}

}  // namespace muster::transport::shm

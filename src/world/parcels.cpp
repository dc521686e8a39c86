#include "world/parcels.h"

#include "muster/error.h"
#include "world/system_error.h"
#include "world/unix_socket.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace muster::world {

namespace {

constexpr auto pause_before_retry = std::chrono::milliseconds(1);

}  // namespace

// A message between two ranks. An answer has the number of the parcel that it answers.
struct Parcels::Envelope {
  enum Kind : std::uint32_t { parcel = 1, taken = 2, refused = 3 };

  std::uint32_t kind = parcel;
  std::uint32_t label_bytes = 0;
  std::uint64_t number = 0;
  std::array<std::byte, longest_label> label = {};
};

void Parcels::open(std::vector<UniqueFd> sockets, std::vector<WorldControl*> controls) {
  sockets_ = std::move(sockets);
  controls_ = std::move(controls);
  answers_.resize(sockets_.size());
  refused_.resize(sockets_.size());
}

std::optional<int> Parcels::give(int descriptor,
                                 std::span<const std::byte> label,
                                 const Liveness& liveness,
                                 Deadline deadline) {
  if (!between_processes()) return std::nullopt;
  const std::lock_guard one_at_a_time(giving_);
  Envelope envelope{.label_bytes = static_cast<std::uint32_t>(label.size())};
  std::copy(label.begin(), label.end(), envelope.label.begin());
  {
    const std::lock_guard lock(mutex_);
    envelope.number = ++given_;
  }
  for (int rank = 0; rank < static_cast<int>(sockets_.size()); ++rank) {
    if (socket(rank) >= 0 && !liveness.lost(rank)) send_to(rank, envelope, descriptor, deadline);
  }
  std::unique_lock lock(mutex_);
  for (int rank = 0; rank < static_cast<int>(sockets_.size()); ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const bool in_time = answered_.wait_until(lock, deadline, [&] {
      return socket(rank) < 0 || answers_[r] >= envelope.number || liveness.lost(rank);
    });
    if (!in_time) {
      throw Error(
          ErrorCode::timeout, fmt::format("rank {} does not take a descriptor", rank), rank);
    }
    if (refused_[r] == envelope.number && !liveness.lost(rank)) return rank;
  }
  return std::nullopt;
}

void Parcels::send_to(int rank, const Envelope& envelope, int descriptor, Deadline deadline) const {
  const auto bytes = std::as_bytes(std::span(&envelope, 1));
  for (;;) {
    const int error = send(socket(rank), bytes, descriptor);
    if (error == 0 || error == EPIPE || error == ECONNRESET) break;  // gone: the watcher tells
    if (error != EAGAIN && error != ETOOMANYREFS) {
      throw system_error(fmt::format("hand a descriptor to rank {}", rank), error);
    }
    if (Clock::now() >= deadline) {
      throw Error(
          ErrorCode::timeout, fmt::format("rank {} does not take a descriptor", rank), rank);
    }
    std::this_thread::sleep_for(pause_before_retry);
  }
  ring_attention(*controls_[static_cast<std::size_t>(rank)]);
}

void Parcels::attention() noexcept {
  for (int rank = 0; rank < static_cast<int>(sockets_.size()); ++rank) {
    if (socket(rank) < 0) continue;
    try {
      receive_from(rank);
    } catch (const std::exception&) {
      continue;  // the giver gets no answer, and says so
    }
  }
  const std::lock_guard lock(mutex_);
  answered_.notify_all();  // somebody may have been lost
}

void Parcels::receive_from(int rank) {
  for (;;) {
    std::optional<Message> message = receive(socket(rank));
    if (!message || message->is_end()) return;
    Envelope envelope;
    if (message->bytes != sizeof envelope) continue;
    std::memcpy(&envelope, message->buffer.data(), sizeof envelope);
    if (envelope.kind == Envelope::parcel) {
      if (message->descriptors.size() == 1 && envelope.label_bytes <= longest_label) {
        take(rank, envelope, std::move(message->descriptors.front()));
      }
      continue;
    }
    const std::lock_guard lock(mutex_);
    answers_[static_cast<std::size_t>(rank)] = envelope.number;
    if (envelope.kind == Envelope::refused) {
      refused_[static_cast<std::size_t>(rank)] = envelope.number;
    }
    answered_.notify_all();
  }
}

void Parcels::take(int rank, const Envelope& envelope, UniqueFd descriptor) {
  Parcel parcel{
      .from = rank,
      .label = {envelope.label.begin(),
                envelope.label.begin() + static_cast<std::ptrdiff_t>(envelope.label_bytes)},
      .descriptor = std::move(descriptor)};
  Envelope answer{.kind = Envelope::taken, .number = envelope.number};
  {
    const std::lock_guard lock(taking_);
    if (!taker_) {
      waiting_.push_back(std::move(parcel));
    } else if (!taker_(parcel)) {
      answer.kind = Envelope::refused;
    }
  }
  send_to(rank, answer, -1, Clock::now() + pause_before_retry * 100);
}

void Parcels::set_taker(Taker taker) {
  const std::lock_guard lock(taking_);
  taker_ = std::move(taker);
  if (!taker_) return;
  for (const Parcel& parcel : std::exchange(waiting_, {})) taker_(parcel);
}

}  // namespace muster::world

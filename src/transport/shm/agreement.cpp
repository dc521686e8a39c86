#include "transport/shm/agreement.h"

#include "muster/error.h"
#include "world/futex.h"

#include <fmt/format.h>

#include <atomic>

namespace muster::transport::shm {

Agreement::Agreement(const Endpoint& endpoint, Waiter& waiter)
    : endpoint_(endpoint),
      waiter_(waiter),
      headers_(static_cast<std::size_t>(endpoint.size())),
      row_offsets_(static_cast<std::size_t>(endpoint.size())) {}

void Agreement::prepare(const Header& own, std::size_t outer) {
  headers_[static_cast<std::size_t>(endpoint_.self)] = own;
  outer_ = outer;
  agreed_ = false;
}

bool Agreement::reach(std::uint64_t call) {
  send(call);
  receive(call);
  if (agreed_) return false;
  check_headers();
  check_sections();
  check_places();
  agreed_ = true;
  return true;
}

// A slot is free: its last header was of call - 2, and every peer had read that before it wrote its
// own of call - 1, which this member has read.
void Agreement::send(std::uint64_t call) {
  const Header& own = header(endpoint_.self);
  endpoint_.for_each_peer([&](int i) {
    HeaderSlot& slot = endpoint_.of(i).slot(endpoint_.self, call);
    slot.header = own;
    slot.call.store(call, std::memory_order_release);
  });
  world::full_fence();
  endpoint_.for_each_peer([&](int i) { waiter_.wake(i); });
}

void Agreement::receive(std::uint64_t call) {
  const auto missing = [&](int i) {
    return endpoint_.own().slot(i, call).call.load(std::memory_order_acquire) != call;
  };
  endpoint_.for_each_peer([&](int i) {
    waiter_.wait(
        static_cast<std::uint32_t>(i), [&] { return !missing(i); }, missing);
    Header& known = headers_[static_cast<std::size_t>(i)];
    const Header theirs = endpoint_.own().slot(i, call).header;
    if (theirs == known) return;
    known = theirs;
    agreed_ = false;
  });
}

void Agreement::check_headers() const {
  const Header& own = header(endpoint_.self);
  endpoint_.for_each_peer([&](int i) {
    const Header& theirs = header(i);
    if (!agree(own, theirs)) {
      throw_mismatch(i,
                     fmt::format("rank {} sends {}, rank {} sends {}",
                                 rank(i),
                                 describe(theirs),
                                 rank(endpoint_.self),
                                 describe(own)));
    }
    if (!is_sane(theirs, outer_, endpoint_.state->arena_of(rank(i)).bytes())) {
      throw_mismatch(i, fmt::format("rank {} describes memory that it does not have", rank(i)));
    }
  });
}

// Every output must be as long as the sections together.
void Agreement::check_sections() {
  std::size_t sum = 0;
  for (int i = 0; i < endpoint_.size(); ++i) {
    row_offsets_[static_cast<std::size_t>(i)] = sum;
    if (__builtin_add_overflow(sum, header(i).row_bytes, &sum)) {
      throw_mismatch(i, "the sections are too long together");
    }
  }
  for (int i = 0; i < endpoint_.size(); ++i) {
    if (header(i).output_row_bytes != sum) {
      throw_mismatch(i,
                     fmt::format("the sections come to rows of {} bytes along dimension {}, the "
                                 "output of rank {} has rows of {} bytes (its shard: {})",
                                 sum,
                                 header(i).gather_dim,
                                 rank(i),
                                 header(i).output_row_bytes,
                                 describe(header(i))));
    }
  }
}

void Agreement::check_places() const {
  for (int i = 0; i < endpoint_.size(); ++i) {
    const std::int64_t place = header(i).in_place_offset;
    if (place == Gather::not_in_place ||
        static_cast<std::size_t>(place) == row_offsets_[static_cast<std::size_t>(i)]) {
      continue;
    }
    throw_mismatch(i,
                   fmt::format("rank {} has its section in place at byte {} of each row, where it "
                               "belongs at byte {}",
                               rank(i),
                               place,
                               row_offset(i)));
  }
}

void Agreement::throw_mismatch(int i, const std::string& what) const {
  throw Error(ErrorCode::mismatch, endpoint_.operation() + ": " + what, rank(i));
}

}  // namespace muster::transport::shm

#include "transport/shm/agreement.h"

#include "transport/shm/terms.h"
#include "world/futex.h"

#include <atomic>

namespace muster::transport::shm {

Agreement::Agreement(const Endpoint& endpoint, Waiter& waiter)
    : endpoint_(endpoint),
      waiter_(waiter),
      headers_(static_cast<std::size_t>(endpoint.size())),
      row_offsets_(static_cast<std::size_t>(endpoint.size())) {
  for (const int rank : endpoint.group.ranks()) {
    arenas_.push_back(endpoint.state->arena_of(rank).bytes());
  }
}

void Agreement::prepare(const Header& own, std::size_t outer) {
  Header& sent = headers_[static_cast<std::size_t>(endpoint_.self)];
  own_is_new_ |= own != sent;
  sent = own;
  outer_ = outer;
  agreed_ = false;
}

// A slot is free: its last word was of call - 2, and every peer had read that before it wrote its
// own of call - 1, which this member has read.
void Agreement::send(std::uint64_t call) {
  endpoint_.for_each_peer([&](int i) {
    HeaderSlot& slot = endpoint_.of(i).slot(endpoint_.self, call);
    if (own_is_new_) slot.header = header(endpoint_.self);
    slot.word.store(HeaderSlot::word_of(call, own_is_new_), std::memory_order_release);
  });
  own_is_new_ = false;
  world::full_fence();
  endpoint_.for_each_peer([&](int i) { waiter_.wake(i); });
}

void Agreement::receive(std::uint64_t call) {
  const auto missing = [&](int i) {
    const auto word = endpoint_.own().slot(i, call).word.load(std::memory_order_acquire);
    return HeaderSlot::call_of(word) != call;
  };
  endpoint_.for_each_peer([&](int i) {
    waiter_.wait(
        static_cast<std::uint32_t>(i), [&] { return !missing(i); }, missing);
    const HeaderSlot& slot = endpoint_.own().slot(i, call);
    if (!HeaderSlot::is_new(slot.word.load(std::memory_order_relaxed))) return;
    headers_[static_cast<std::size_t>(i)] = slot.header;
    agreed_ = false;
  });
}

bool Agreement::agree() {
  if (agreed_) return false;
  check_terms(endpoint_, headers_, outer_, arenas_, row_offsets_);
  agreed_ = true;
  return true;
}

}  // namespace muster::transport::shm

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
  headers_[static_cast<std::size_t>(endpoint_.self)] = own;
  outer_ = outer;
  agreed_ = false;
}

bool Agreement::reach(std::uint64_t call) {
  send(call);
  receive(call);
  if (agreed_) return false;
  check_terms(endpoint_, headers_, outer_, arenas_, row_offsets_);
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

}  // namespace muster::transport::shm

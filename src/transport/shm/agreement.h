// The first half of a call: members exchange headers, and go on only if all agree.
#pragma once

#include "transport/shm/endpoint.h"
#include "transport/shm/header.h"
#include "transport/shm/waiter.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::transport::shm {

class Agreement {
 public:
  Agreement(const Endpoint& endpoint, Waiter& waiter);

  // Takes the header that this member sends from now on, of a gather of `outer` rows.
  void prepare(const Header& own, std::size_t outer);

  // Sends this member's header to every peer, or that it is still that of the call before, waits
  // for theirs, and checks all against each other unless none is new. Returns whether any is.
  // Throws mismatch, which every member finds for itself, or what the wait throws. Does something
  // else while headers are under way.
  template <typename Meanwhile>
  bool reach(std::uint64_t call, Meanwhile meanwhile) {
    send(call);
    meanwhile();
    receive(call);
    return agree();
  }
  bool reach(std::uint64_t call) {
    return reach(call, [] {});
  }

  // Is this member's header the one agreed on last? Its peers' may yet be others.
  bool is_known() const { return agreed_; }

  // Of the call agreed on last, by position. A private copy: what peers write now changes nothing.
  const Header& header(int i) const { return headers_[static_cast<std::size_t>(i)]; }
  std::size_t row_offset(int i) const { return row_offsets_[static_cast<std::size_t>(i)]; }

 private:
  void send(std::uint64_t call);
  void receive(std::uint64_t call);
  bool agree();

  const Endpoint& endpoint_;
  Waiter& waiter_;
  std::size_t outer_ = 0;
  bool own_is_new_ = true;           // other than what was sent last
  bool agreed_ = false;              // on headers_
  std::vector<std::size_t> arenas_;  // their sizes, by position
  std::vector<Header> headers_;
  std::vector<std::size_t> row_offsets_;
};

}  // namespace muster::transport::shm

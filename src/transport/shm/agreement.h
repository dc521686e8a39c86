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

  // Sends `own` to every peer, waits for theirs, and checks them against each other. Throws
  // mismatch, which every member finds for itself, or what the wait throws.
  void reach(std::uint64_t call, const Header& own, std::size_t outer);

  // Of the call agreed on last, by position. A private copy: what peers write now changes nothing.
  const Header& header(int i) const { return headers_[static_cast<std::size_t>(i)]; }
  std::size_t row_offset(int i) const { return row_offsets_[static_cast<std::size_t>(i)]; }

 private:
  void send(std::uint64_t call, const Header& own);
  void receive(std::uint64_t call);
  void check_headers(std::size_t outer) const;
  void check_sections();
  void check_places() const;

  [[noreturn]] void throw_mismatch(int i, const std::string& what) const;
  int rank(int i) const { return endpoint_.group[i]; }

  const Endpoint& endpoint_;
  Waiter& waiter_;
  std::vector<Header> headers_;
  std::vector<std::size_t> row_offsets_;
};

}  // namespace muster::transport::shm

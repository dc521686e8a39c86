// One member's standing in a communicator: who the members are and where their control memory is.
#pragma once

#include "muster/group.h"
#include "transport/shm/control.h"
#include "world/state.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace muster::transport::shm {

struct Endpoint {
  std::shared_ptr<world::State> state;
  Group group;
  std::chrono::milliseconds timeout;
  int self;                           // this member's position
  std::vector<ControlView> controls;  // by position, [self] this member's own

  int size() const noexcept { return group.size(); }
  const ControlView& own() const noexcept { return controls[static_cast<std::size_t>(self)]; }
  const ControlView& of(int i) const noexcept { return controls[static_cast<std::size_t>(i)]; }

  // Will member i never write again: it ended its side, left the world, or died?
  bool ended(int i) const noexcept {
    return own().from(i).ended.load(std::memory_order_acquire) != 0 ||
           state->liveness().lost(group[i]);
  }

  // "all_gather on group [0,1,2]"; a long list is cut, since the text of a failure must have room.
  std::string operation() const {
    constexpr int longest = 16;
    if (size() <= longest) return "all_gather on group " + group.to_string();
    const auto head = group.ranks().first(longest);
    std::string list = Group({head.begin(), head.end()}).to_string();
    list.back() = ',';
    return "all_gather on group " + list + "...] of " + std::to_string(size());
  }

  // Calls function(i) for the other members' positions, beginning behind this one's, so that
  // members do not all turn to the same one at once.
  template <typename Function>
  void for_each_peer(Function function) const {
    for (int i = self + 1; i < size(); ++i) function(i);
    for (int i = 0; i < self; ++i) function(i);
  }
};

}  // namespace muster::transport::shm

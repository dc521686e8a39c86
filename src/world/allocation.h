// What a Buffer owns.
#pragma once

#include "world/state.h"

#include <cstddef>
#include <memory>
#include <utility>

namespace muster::world {

class Allocation {
 public:
  Allocation(std::shared_ptr<State> state, std::size_t bytes)
      : state_(std::move(state)), bytes_(bytes), range_(state_->arena().allocate(bytes)) {}
  ~Allocation() {
    if (state_->in_own_process()) state_->arena().free(range_);
  }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  std::byte* data() const noexcept { return state_->arena().base() + range_.offset; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::shared_ptr<State> state_;
  std::size_t bytes_;
  Range range_;
};

}  // namespace muster::world

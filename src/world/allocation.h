// What a Buffer owns.
#pragma once

#include "world/state.h"

#include <cstddef>
#include <memory>
#include <utility>

namespace muster::world {

class Allocation {
 public:
  // `arena` is one of the state's.
  Allocation(std::shared_ptr<State> state, Arena& arena, std::size_t bytes)
      : state_(std::move(state)), arena_(arena), bytes_(bytes), range_(arena.allocate(bytes)) {}
  ~Allocation() {
    if (state_->in_own_process()) arena_.free(range_);
  }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  std::byte* data() const noexcept { return arena_.base() + range_.offset; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::shared_ptr<State> state_;
  Arena& arena_;
  std::size_t bytes_;
  Range range_;
};

}  // namespace muster::world

// Where a gather's tensors lie in a rank's arena, and whether they may be used there.
#pragma once

#include "transport/shm/endpoint.h"
#include "transport/transport.h"
#include "world/arena.h"

#include <cstddef>
#include <optional>
#include <string_view>

namespace muster::transport::shm {

// From the first byte of a tensor's first row to the last byte of its last.
struct TensorMemory {
  std::string_view name;  // in messages
  const std::byte* data;
  std::size_t bytes;
};
TensorMemory output_memory(const Gather& gather) noexcept;
TensorMemory shard_memory(const Gather& gather) noexcept;

// Nothing when the tensor lies elsewhere or has no bytes.
std::optional<world::Range> place_in(const world::Arena& arena,
                                     const TensorMemory& memory) noexcept;

// Throws invalid_argument for a place that a peer could still write to.
void refuse_held(const Endpoint& endpoint,
                 world::Arena& arena,
                 std::string_view name,
                 world::Range place);
inline void refuse_quarantined(const Endpoint& endpoint,
                               world::Arena& arena,
                               std::string_view name,
                               const std::optional<world::Range>& place) {
  if (place && arena.any_quarantined()) refuse_held(endpoint, arena, name, *place);
}

}  // namespace muster::transport::shm

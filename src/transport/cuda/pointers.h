// Whose memory a pointer points to.
#pragma once

#include "transport/shm/places.h"

#include <optional>

namespace muster::transport::cuda {

// Where a tensor lies in the arena of a rank on a device; nothing when it lies elsewhere or has no
// bytes. Throws invalid_argument for memory that the device cannot reach, and system when CUDA
// fails.
std::optional<world::Range> place_on(int ordinal,
                                     const world::Arena& arena,
                                     const shm::TensorMemory& memory);

}  // namespace muster::transport::cuda

// Whose memory a pointer points to.
#pragma once

#include <string_view>

namespace muster::transport::cuda {

// Throws invalid_argument for memory that the device cannot reach. `what` is "output" or "shard".
void require_reachable(std::string_view what, const void* data, int ordinal);

}  // namespace muster::transport::cuda

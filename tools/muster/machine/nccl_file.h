// Which NCCL is meant.
#pragma once

#include <cstdlib>

namespace muster::tool {

// The file to open: the same that muster's library opens.
inline const char* nccl_file() {
  const char* named = std::getenv("MUSTER_NCCL");
  return named == nullptr ? "libnccl.so.2" : named;
}

}  // namespace muster::tool

// A layer's settings as bytes in a serialized engine.
#pragma once

#include "settings.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace muster::tensorrt {

// Little-endian: magic, format's version and length of the whole (32 bits each), gather_dim,
// type_id or -1 (32), timeout in ms (64), then the lists of ranks (32), sizes (64) and the name's
// bytes, each behind its length (32); from version 2 on, whether the communicator is shared (8).
std::vector<std::byte> serialize(const Settings& settings);

// Reads what this or an older version has written. For engines that were serialized with
// TensorRT-LLM's layer also that one's format, which has no name: `name` is taken.
// Throws Error invalid_argument for anything else, a newer version of the format included.
Settings deserialize(std::span<const std::byte> bytes, const std::string& name);

}  // namespace muster::tensorrt

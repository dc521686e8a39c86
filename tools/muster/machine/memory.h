// How much memory this process may use.
#pragma once

#include <cstddef>
#include <optional>

namespace muster::tool {

std::size_t total_memory();      // of the machine
std::size_t available_memory();  // without swapping, and below the limit of the control group

// Of this process's control group; nothing where there is none.
std::optional<std::size_t> memory_limit();

}  // namespace muster::tool

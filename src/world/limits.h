// What this process may use of its machine.
#pragma once

#include <cstddef>

namespace muster::world {

// Processors that this process may run on at once: its affinity, cut to its control group's quota.
int usable_cores();

// Bytes that can be committed before the kernel would have to kill somebody: the machine's
// available memory, cut to what control groups leave. SIZE_MAX where the system does not say.
std::size_t available_memory();

}  // namespace muster::world

// What this process may use of its machine.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace muster::world {

// Processors that this process and `others` may run on: their affinities together, since a launcher
// may have given each a core of its own, cut to this process' control group's quota.
int usable_cores(std::span<const pid_t> others = {});

// Bytes that can be committed before the kernel would have to kill somebody: the machine's
// available memory, cut to what control groups leave. SIZE_MAX where the system does not say.
std::size_t available_memory();

}  // namespace muster::world

// What this process may use of its machine.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>

namespace muster::world {

// Processors that this process and `others` may run on: their affinities together, since a launcher
// may have given each a core of its own, cut to this process' control group's quota.
int usable_cores(std::span<const pid_t> others = {});

// Bytes that can be committed before the kernel would have to kill somebody: the machine's
// available memory, cut to what control groups (version 2) leave. SIZE_MAX where the system does
// not say.
std::size_t available_memory();

// What the control group of this folder leaves of its limit: cached files give way. SIZE_MAX where
// there is no limit. https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.current
std::size_t memory_left_in(const std::filesystem::path& group);

}  // namespace muster::world

// A rank comes to nothing while the others' kernels wait for it.
#pragma once

#include "gpu/gpu.h"

#include <chrono>
#include <functional>
#include <string>

namespace muster::test {

// The options of a rank's communicators.
using MakeOptions =
    std::function<CommunicatorOptions(std::string tag, std::chrono::milliseconds timeout)>;

// What each rank of the job does: after a few gathers the GPU of the last rank, the victim, does
// not come to the next one, and the others' kernels wait for it. What becomes of it is `argument`:
// its process is "killed", or "killed behind a kernel" of its own that spins, so that its GPU could
// still come to that gather, or "stopped" for longer than the timeout and then woken; or it is
// "faulty": a kernel of its own has lost it its context when it calls. Those whose kernels have
// been freed go on without the victim, in the same context.
void act_beside_a_victim(const std::string& argument, const MakeOptions& options);

// Start such ranks in a role and see to the victim. Kernels must be free within a time of the kill,
// the fault, or the timeout.
void expect_freed_from_the_killed(int ranks,
                                  const std::string& role,
                                  std::chrono::milliseconds within,
                                  const std::string& argument = "killed");
void expect_freed_from_the_faulty(int ranks,
                                  const std::string& role,
                                  std::chrono::milliseconds within);
void expect_freed_from_the_stopped(int ranks,
                                   const std::string& role,
                                   std::chrono::milliseconds within);

}  // namespace muster::test

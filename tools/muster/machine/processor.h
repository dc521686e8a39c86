// The processor and how much of it this process may use.
#pragma once

#include <string>

namespace muster::tool {

std::string cpu_model();
std::string simd_target();  // the widest that muster's copies may choose here

int online_cores();
int affinity_cores();  // that this process may be scheduled on
int usable_cores();    // whole ones, with the quota of the control group; at least 1

}  // namespace muster::tool

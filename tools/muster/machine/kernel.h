// What the running kernel can do.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace muster::tool {

std::string kernel_release();

// Each system call that muster profits from, by trying it: a sandbox may refuse what the release
// has.
std::vector<std::pair<std::string, bool>> kernel_features();

}  // namespace muster::tool

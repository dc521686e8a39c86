// Values of this process's Linux control group, versions 1 and 2.
#pragma once

#include <functional>
#include <string>

namespace muster::tool {

// Calls `visit` with the folder of this process's control group for a controller of version 1, or
// of the unified hierarchy for "", then with each of its ancestors: a limit of any of them holds.
// In a container the folder may not be visible; then only the root is.
void for_each_control_group(const std::string& controller,
                            const std::function<void(const std::string& folder)>& visit);

}  // namespace muster::tool

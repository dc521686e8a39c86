// Where a program lies.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace muster::tool {

// The file that execvp would start by that name: one that may be executed, in a directory of PATH
// unless the name has a slash. Nothing where there is none.
std::optional<std::filesystem::path> find_program(const std::string& name);

}  // namespace muster::tool

// The engine's own profile of a session, summed up.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>

namespace muster::tool {

// Count and seconds of each kind of operator, the longest first, from the file that the engine has
// written. Throws Failure.
nlohmann::ordered_json summed_profile(const std::filesystem::path& file);

}  // namespace muster::tool

// Text from a file that anybody may have written.
#pragma once

#include <string>

namespace muster::tool {

// The text as UTF-8 without control characters, so that it shows and does nothing else.
std::string printable(const std::string& text);

}  // namespace muster::tool

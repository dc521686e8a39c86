#include "printable.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace muster::tool {

std::string printable(const std::string& text) {
  using Json = nlohmann::json;
  const std::string utf8 = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  auto result = Json::parse(utf8).get<std::string>();
  std::ranges::replace_if(
      result, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  // U+0080 to U+009F stand for ESC and a letter.
  for (std::size_t i = 0; (i = result.find('\xc2', i)) != std::string::npos; ++i) {
    if (static_cast<unsigned char>(result[i + 1]) < 0xa0) result.replace(i, 2, "?");
  }
  return result;
}

}  // namespace muster::tool

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
  return result;
}

}  // namespace muster::tool

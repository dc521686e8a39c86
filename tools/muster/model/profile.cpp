#include "model/profile.h"

#include "exit_status.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace muster::tool {
namespace {

struct Sum {
  int count = 0;
  double microseconds = 0;
};

// An event is a node's kernel if it is of category Node and has a duration of its own.
bool is_kernel(const nlohmann::json& event) {
  return event.value("cat", "") == "Node" && event.contains("dur") && event.contains("args") &&
         event["args"].contains("op_name") && event.value("name", "").ends_with("_kernel_time");
}

}  // namespace

nlohmann::ordered_json summed_profile(const std::filesystem::path& file) {
  std::ifstream stream(file);
  const auto events = nlohmann::json::parse(stream, nullptr, false);
  if (!events.is_array()) throw Failure("run: the engine has written no profile");
  std::map<std::string, Sum> sums;
  for (const auto& event : events) {
    if (!is_kernel(event)) continue;
    Sum& sum = sums[event["args"]["op_name"].get<std::string>()];
    ++sum.count;
    sum.microseconds += event["dur"].get<double>();
  }
  std::vector<std::pair<std::string, Sum>> rows(sums.begin(), sums.end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second.microseconds > b.second.microseconds;
  });
  auto result = nlohmann::ordered_json::array();
  for (const auto& [name, sum] : rows) {
    result.push_back(
        {{"operator", name}, {"count", sum.count}, {"seconds", sum.microseconds / 1e6}});
  }
  return result;
}

}  // namespace muster::tool

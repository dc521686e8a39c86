#include "machine/control_group.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace muster::tool {
namespace {

// The path of "ID:CONTROLLERS:PATH" in /proc/self/cgroup (cgroups(7)).
std::string path_of(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string id, names, path;
    std::getline(fields, id, ':');
    std::getline(fields, names, ':');
    std::getline(fields, path);
    std::istringstream list(names);
    bool found = names.empty() && controller.empty();
    for (std::string name; std::getline(list, name, ',');) found = found || name == controller;
    if (found) return path;
  }
  return "/";
}

}  // namespace

void for_each_control_group(const std::string& controller,
                            const std::function<void(const std::string& folder)>& visit) {
  namespace fs = std::filesystem;
  const fs::path mount = fs::path("/sys/fs/cgroup") / controller;
  for (fs::path path = path_of(controller);; path = path.parent_path()) {
    visit((mount / path.relative_path()).string());
    if (!path.has_relative_path()) return;
  }
}

}  // namespace muster::tool

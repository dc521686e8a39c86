#include "launch/find_program.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace muster::tool {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::optional<fs::path> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return is_program(name) ? std::optional<fs::path>(name) : std::nullopt;
  }
  const char* path = std::getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "/bin:/usr/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    const fs::path file = fs::path(directory) / name;  // an empty one is the current directory
    if (is_program(file)) return file;
  }
  return std::nullopt;
}

}  // namespace muster::tool

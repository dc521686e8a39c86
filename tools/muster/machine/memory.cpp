#include "machine/memory.h"

#include "machine/control_group.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace muster::tool {
namespace {

// The number behind a name in a file of "NAME NUMBER …" lines.
std::optional<std::size_t> read_field(const std::string& path, const std::string& field) {
  std::ifstream file(path);
  std::string name, rest;
  for (std::size_t value = 0; file >> name >> value; std::getline(file, rest)) {
    if (name == field) return value;
  }
  return std::nullopt;
}

std::size_t meminfo(const std::string& field) {
  const auto kib = read_field("/proc/meminfo", field + ":");
  return kib ? *kib << 10 : std::numeric_limits<std::size_t>::max();  // unknown: do not refuse
}

struct Limit {
  std::size_t bytes = std::numeric_limits<std::size_t>::max();
  std::size_t left = std::numeric_limits<std::size_t>::max();
};

Limit group_limit() {
  Limit limit;
  const auto read = [&](const char* controller,
                        const char* maximum,
                        const char* usage,
                        const std::string& statistics_prefix) {
    for_each_control_group(controller, [&](const std::string& folder) {
      std::size_t bytes = 0, used = 0;  // "max" does not parse: no limit
      if (!(std::ifstream(folder + "/" + maximum) >> bytes)) return;
      std::ifstream(folder + "/" + usage) >> used;
      for (const char* list : {"inactive_file", "active_file"}) {  // cached files give way
        const std::string field = statistics_prefix + list;
        used -= std::min(used, read_field(folder + "/memory.stat", field).value_or(0));
      }
      limit.bytes = std::min(limit.bytes, bytes);
      limit.left = std::min(limit.left, bytes - std::min(used, bytes));
    });
  };
  read("", "memory.max", "memory.current", "");
  read("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_");
  return limit;
}

}  // namespace

std::size_t total_memory() {
  return meminfo("MemTotal");
}

std::size_t available_memory() {
  return std::min(meminfo("MemAvailable"), group_limit().left);
}

std::optional<std::size_t> memory_limit() {
  const std::size_t bytes = group_limit().bytes;
  return bytes < total_memory() ? std::optional(bytes) : std::nullopt;
}

}  // namespace muster::tool

#include "world/limits.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::world {

namespace {

// Calls visit(directory) for this process' control group (version 2) and the ones around it.
template <typename Visit>
void for_each_cgroup(Visit visit) {
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::ifstream membership("/proc/self/cgroup");
  for (std::string line; std::getline(membership, line);) {
    if (!line.starts_with("0::/")) continue;
    auto path = std::filesystem::path(line.substr(4));
    for (; !path.empty(); path = path.parent_path()) visit(root / path);
  }
  visit(root);  // in a container the group's own files are here
}

// The first word of a file; nothing when it is missing or "max".
template <typename Number>
std::optional<Number> read_number(const std::filesystem::path& file) {
  std::ifstream in(file);
  Number value{};
  if (in >> value) return value;
  return std::nullopt;
}

// The number behind a name in a file of "NAME NUMBER" lines; 0 where there is none.
std::size_t read_field(const std::filesystem::path& file, std::string_view field) {
  std::ifstream in(file);
  std::string name;
  for (std::size_t value = 0; in >> name >> value;) {
    if (name == field) return value;
  }
  return 0;
}

}  // namespace

int usable_cores(std::span<const pid_t> others) {
  cpu_set_t all;
  CPU_ZERO(&all);
  const auto add = [&all](pid_t process) {  // 0 is this one
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(process, sizeof set, &set) == 0) CPU_OR(&all, &all, &set);
  };
  add(0);
  for (const pid_t process : others) {
    if (process > 0) add(process);  // those in a foreign pid namespace have no number here
  }
  int cores = CPU_COUNT(&all);
  for_each_cgroup([&](const std::filesystem::path& group) {
    std::ifstream in(group / "cpu.max");  // "QUOTA PERIOD", QUOTA "max" when there is none
    std::int64_t quota = 0;
    std::int64_t period = 0;
    if (in >> quota >> period && period > 0) {
      cores = std::min(cores, static_cast<int>((quota + period - 1) / period));
    }
  });
  return std::max(cores, 1);
}

std::size_t available_memory() {
  std::size_t available = SIZE_MAX;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.starts_with("MemAvailable:")) available = std::stoull(line.substr(13)) * 1024;
  }
  for_each_cgroup([&](const std::filesystem::path& group) {
    available = std::min(available, memory_left_in(group));
  });
  return available;
}

std::size_t memory_left_in(const std::filesystem::path& group) {
  const auto limit = read_number<std::size_t>(group / "memory.max");
  const auto used = read_number<std::size_t>(group / "memory.current");
  if (!limit || !used) return SIZE_MAX;
  const std::size_t cached = read_field(group / "memory.stat", "inactive_file") +
                             read_field(group / "memory.stat", "active_file");
  return *limit - std::min(*limit, *used - std::min(*used, cached));
}

}  // namespace muster::world

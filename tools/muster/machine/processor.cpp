#include "machine/processor.h"

#include "machine/control_group.h"

#include <hwy/targets.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace muster::tool {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto value = line.find(": ");
    if (value != std::string::npos) return line.substr(value + 2);
  }
  utsname name{};  // other architectures name no model there
  return ::uname(&name) == 0 ? name.machine : "unknown";
}

std::string simd_target() {
  const auto targets = hwy::SupportedTargets();  // a lower bit is a better target
  return hwy::TargetName(targets & -targets);
}

int online_cores() {
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

int affinity_cores() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : online_cores();
}

int usable_cores() {
  int cores = affinity_cores();
  const auto apply = [&](double quota, double period) {
    if (quota > 0 && period > 0) cores = std::min(cores, static_cast<int>(quota / period));
  };
  for_each_control_group("", [&](const std::string& folder) {
    double quota = 0, period = 0;  // "max" does not parse: no quota
    std::ifstream(folder + "/cpu.max") >> quota >> period;
    apply(quota, period);
  });
  for_each_control_group("cpu", [&](const std::string& folder) {
    double quota = 0, period = 0;
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    apply(quota, period);
  });
  return std::max(cores, 1);
}

}  // namespace muster::tool

// `muster info`
#include "bench/mpi_launch.h"
#include "commands.h"
#include "exit_status.h"
#include "machine/gpu.h"
#include "machine/kernel.h"
#include "machine/memory.h"
#include "machine/onnxruntime.h"
#include "machine/processor.h"

#include <fmt/format.h>
#include <muster/muster.h>
#include <sys/resource.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace muster::tool {
namespace {

using Json = nlohmann::ordered_json;

Json limit(__rlimit_resource resource) {
  rlimit value{};
  if (::getrlimit(resource, &value) != 0 || value.rlim_cur == RLIM_INFINITY) return nullptr;
  return value.rlim_cur;
}

Json transports(bool cuda) {
  return {{"shm", "built"},
          {"cuda", cuda ? "built" : "not built"},
          {"nccl", MUSTER_WITH_NCCL ? "built" : "not built"}};
}

Json launcher() {
  Json variables = Json::object();
  for (const char* name : {"MUSTER_RANK", "MUSTER_WORLD_SIZE", "MUSTER_RENDEZVOUS"}) {
    if (const char* value = std::getenv(name)) variables[name] = value;
  }
  if (std::getenv("MUSTER_TOKEN") != nullptr) variables["MUSTER_TOKEN"] = "set";
  return variables;
}

Json mpi() {
  const auto installation = mpi_installation();
  if (!installation) return nullptr;
  return {{"standard", installation->standard},
          {"mpiexec", installation->mpiexec},
          {"found", ::access(installation->mpiexec.c_str(), X_OK) == 0}};
}

Json or_null(const std::optional<std::size_t>& value) {
  return value ? Json(*value) : Json();
}

Json gather_facts() {
  const Json gpu = gpu_facts();
  Json kernel = {{"release", kernel_release()}};
  for (const auto& [name, works] : kernel_features()) kernel[name] = works;
  return {
      {"version", MUSTER_VERSION},
      {"transports", transports(gpu["built"])},
      {"cpu", {{"model", cpu_model()}, {"simd", simd_target()}}},
      {"cores",
       {{"online", online_cores()}, {"affinity", affinity_cores()}, {"usable", usable_cores()}}},
      {"memory",
       {{"total", total_memory()},
        {"available", available_memory()},
        {"control_group_limit", or_null(memory_limit())}}},
      {"limits", {{"open_files", limit(RLIMIT_NOFILE)}, {"locked_memory", limit(RLIMIT_MEMLOCK)}}},
      {"kernel", kernel},
      {"gpu", gpu},
      {"launcher", launcher()},
      {"onnxruntime", onnxruntime_facts()},
      {"mpi", mpi()}};
}

std::string in_mebibytes(const Json& bytes) {
  return fmt::format("{:.1f} MiB", bytes.get<double>() / (1 << 20));
}

std::string to_text(const std::string& section, const std::string& name, const Json& value) {
  const bool bytes = section == "memory" || name == "locked_memory";
  if (value.is_null()) return bytes || section == "limits" ? "unlimited" : "none";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (bytes) return in_mebibytes(value);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string list_of_devices(const Json& reached) {
  std::string list;
  for (std::size_t i = 0; i < reached.size(); ++i) {
    if (reached[i].get<bool>()) list += fmt::format("{}cuda:{}", list.empty() ? "" : ", ", i);
  }
  return list;
}

// What lines a table has for a fact: {name, text}. Most have one, devices one each.
std::vector<std::pair<std::string, std::string>> lines_of(const std::string& section,
                                                          const std::string& name,
                                                          const Json& value) {
  if (section != "gpu" || !value.is_array()) return {{name, to_text(section, name, value)}};
  if (value.empty()) return {{name, "none"}};
  std::vector<std::pair<std::string, std::string>> lines;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const Json& entry = value[i];
    if (name == "reaches") {
      lines.emplace_back(fmt::format("cuda:{} reaches", i), list_of_devices(entry));
    } else if (entry.is_null()) {
      lines.emplace_back(fmt::format("cuda:{}", i), "does not answer");
    } else {
      lines.emplace_back(fmt::format("cuda:{}", i),
                         fmt::format("{}, compute capability {}, {} multiprocessors, {}",
                                     entry["name"].get<std::string>(),
                                     entry["compute_capability"].get<std::string>(),
                                     entry["multiprocessors"].get<int>(),
                                     in_mebibytes(entry["memory_bytes"])));
    }
  }
  return lines;
}

void print_table(const Json& facts) {
  for (const auto& [section, value] : facts.items()) {
    if (!value.is_object()) {
      fmt::print("{:<12} {}\n",
                 section,
                 section == "mpi" ? "built without MPI" : to_text("", section, value));
    } else if (value.empty()) {
      fmt::print("{:<12} none\n", section);
    }
    if (!value.is_object()) continue;
    std::string heading = section;
    for (const auto& [name, entry] : value.items()) {
      for (const auto& [label, text] : lines_of(section, name, entry)) {
        fmt::print("{:<12} {:<20} {}\n", heading, label, text);
        heading.clear();
      }
    }
  }
}

}  // namespace

Command add_info(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "Print one JSON object; sizes are in bytes, null is no limit");
  app.footer("Example:\n  muster info --json");
  return [json] {
    const Json facts = gather_facts();
    if (*json) {
      fmt::print("{}\n", facts.dump(2));
    } else {
      print_table(facts);
    }
    return exit_success;
  };
}

}  // namespace muster::tool

#include "machine/gpu.h"

#include "machine/nccl_file.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>

namespace muster::tool {
namespace {

using Json = nlohmann::ordered_json;

// 0 where there is no driver.
int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

void add_driver(Json& facts) {
  facts["driver"] = nullptr;
  if (const int version = driver_version()) {
    facts["driver"] = fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
  }
  if (const auto trouble = gpu_trouble()) facts["driver_trouble"] = *trouble;
}

// As ncclGetVersion(int*) says.
void add_nccl(Json& facts) {
  facts["nccl"] = nullptr;
  void* library = ::dlopen(nccl_file(), RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) {
    facts["nccl_trouble"] = ::dlerror();
    return;
  }
  const auto ask = reinterpret_cast<int (*)(int*)>(::dlsym(library, "ncclGetVersion"));
  int version = 0;
  if (ask == nullptr || ask(&version) != 0) {
    facts["nccl_trouble"] = fmt::format("{} does not tell its version", nccl_file());
    return;
  }
  facts["nccl"] = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

Json device_facts(int ordinal) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess) return nullptr;
  return {{"name", properties.name},
          {"compute_capability", fmt::format("{}.{}", properties.major, properties.minor)},
          {"multiprocessors", properties.multiProcessorCount},
          {"memory_bytes", properties.totalGlobalMem}};
}

// Row i: the devices whose memory device i can reach.
Json reachability(int count) {
  Json rows = Json::array();
  for (int i = 0; i < count; ++i) {
    Json row = Json::array();
    for (int j = 0; j < count; ++j) {
      int reaches = i == j ? 1 : 0;
      if (i != j) cudaDeviceCanAccessPeer(&reaches, i, j);
      row.push_back(reaches != 0);
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

std::optional<std::string> gpu_trouble() {
  if (driver_version() == 0) return "there is no CUDA driver here";
  int count = 0;
  const cudaError_t trouble = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (trouble == cudaSuccess) return std::nullopt;
  return cudaGetErrorString(trouble);
}

Json gpu_facts() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  cudaGetLastError();
  Json facts = {{"built", true}};
  add_driver(facts);
  add_nccl(facts);
  facts["devices"] = Json::array();
  for (int i = 0; i < count; ++i) facts["devices"].push_back(device_facts(i));
  facts["reaches"] = reachability(count);
  return facts;
}

}  // namespace muster::tool

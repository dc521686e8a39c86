#include "machine/gpu.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>

namespace muster::tool {
namespace {

using Json = nlohmann::ordered_json;

Json driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return nullptr;
  return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
}

// As ncclGetVersion(int*) says, of the library that a program would get.
Json nccl_version() {
  void* library = ::dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const auto ask = reinterpret_cast<int (*)(int*)>(::dlsym(library, "ncclGetVersion"));
  int version = 0;
  if (ask == nullptr || ask(&version) != 0) return nullptr;
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
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

Json gpu_facts() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  cudaGetLastError();
  Json devices = Json::array();
  for (int i = 0; i < count; ++i) devices.push_back(device_facts(i));
  return {{"built", true},
          {"driver", driver_version()},
          {"nccl", nccl_version()},
          {"devices", devices},
          {"reaches", reachability(count)}};
}

}  // namespace muster::tool

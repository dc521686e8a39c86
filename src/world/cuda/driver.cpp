#include "world/cuda/driver.h"

#include "muster/error.h"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <string>

namespace muster::world::cuda {

namespace {

constexpr unsigned oldest_driver = 12000;  // CUDA 12.0

template <typename Function>
void look_up(Function& function, const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t status =
      cudaGetDriverEntryPointByVersion(name, &found, oldest_driver, cudaEnableDefault, &result);
  if (status != cudaSuccess || found == nullptr) {
    throw Error(ErrorCode::unsupported, fmt::format("the CUDA driver is too old: no {}", name));
  }
  function = reinterpret_cast<Function>(found);
}

Driver load() {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    throw Error(
        ErrorCode::unsupported,
        fmt::format("no CUDA driver that works, or no GPU: {}", cudaGetErrorString(status)));
  }
  Driver d{};
  look_up(d.get_error_string, "cuGetErrorString");
  look_up(d.device_get, "cuDeviceGet");
  look_up(d.device_get_attribute, "cuDeviceGetAttribute");
  look_up(d.primary_context_retain, "cuDevicePrimaryCtxRetain");
  look_up(d.context_get_current, "cuCtxGetCurrent");
  look_up(d.context_get_device, "cuCtxGetDevice");
  look_up(d.context_push, "cuCtxPushCurrent");
  look_up(d.context_pop, "cuCtxPopCurrent");
  look_up(d.address_reserve, "cuMemAddressReserve");
  look_up(d.address_free, "cuMemAddressFree");
  look_up(d.create, "cuMemCreate");
  look_up(d.release, "cuMemRelease");
  look_up(d.map, "cuMemMap");
  look_up(d.unmap, "cuMemUnmap");
  look_up(d.set_access, "cuMemSetAccess");
  look_up(d.get_access, "cuMemGetAccess");
  look_up(d.export_handle, "cuMemExportToShareableHandle");
  look_up(d.import_handle, "cuMemImportFromShareableHandle");
  look_up(d.granularity, "cuMemGetAllocationGranularity");
  look_up(d.stream_get_id, "cuStreamGetId");
  look_up(d.stream_is_capturing, "cuStreamIsCapturing");
  look_up(d.launch_kernel, "cuLaunchKernel");
  look_up(d.event_record, "cuEventRecord");
  return d;
}

// The runtime's context on a device, which it keeps as long as the process lives. So does this.
CUcontext primary_context(int ordinal) {
  static std::mutex mutex;
  static auto& retained = *new std::map<int, CUcontext>;  // statics' destructors may need it
  const std::lock_guard lock(mutex);
  CUcontext& context = retained[ordinal];
  if (context == nullptr) {
    CUdevice device{};
    require(driver().device_get(&device, ordinal), "finding a device");
    require(driver().primary_context_retain(&context, device), "making a context");
  }
  return context;
}

}  // namespace

const Driver& driver() {
  static const Driver loaded = load();
  return loaded;
}

int device_count() {
  driver();
  int count = 0;
  require(cudaGetDeviceCount(&count), "counting the CUDA devices");
  return count;
}

void require_device(int ordinal) {
  const int count = device_count();
  if (ordinal < 0 || ordinal >= count) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("there is no device cuda:{}; this process sees {} of them", ordinal, count));
  }
}

void require(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the error is told here, and must not be told to the application again
  throw Error(status == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::system,
              fmt::format("{}: {}", what, cudaGetErrorString(status)));
}

void require(CUresult status, std::string_view what) {
  if (status == CUDA_SUCCESS) return;
  const char* text = nullptr;
  driver().get_error_string(status, &text);
  throw Error(status == CUDA_ERROR_OUT_OF_MEMORY ? ErrorCode::out_of_memory : ErrorCode::system,
              fmt::format("{}: {}", what, text == nullptr ? "unknown error" : text));
}

CurrentDevice::CurrentDevice(int ordinal) {
  CUcontext context = nullptr;
  require(driver().context_get_current(&context), "asking for the current context");
  if (context != nullptr) {
    CUdevice wanted{};
    CUdevice before{};
    require(driver().device_get(&wanted, ordinal), "finding a device");
    require(driver().context_get_device(&before), "asking for the current device");
    if (before == wanted) return;
  }
  require(driver().context_push(primary_context(ordinal)),
          fmt::format("setting device cuda:{}", ordinal));
  changed_ = true;
}

CurrentDevice::~CurrentDevice() {
  CUcontext own = nullptr;
  if (changed_) driver().context_pop(&own);
}

}  // namespace muster::world::cuda

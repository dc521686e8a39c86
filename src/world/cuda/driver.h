// CUDA's runtime and driver as muster uses them.
//
// The runtime is linked statically and opens the driver at its first call, and the driver's
// functions are looked up through it, so that the library loads on a machine without a driver.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <string_view>

namespace muster::world::cuda {

// The driver's functions for virtual memory and for contexts, and those of a gather's launch, for
// which the runtime takes half a microsecond longer.
// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__VA.html
// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__PRIMARY__CTX.html
// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EXEC.html
struct Driver {
  decltype(&cuGetErrorString) get_error_string;
  decltype(&cuDeviceGet) device_get;
  decltype(&cuDeviceGetAttribute) device_get_attribute;
  decltype(&cuDevicePrimaryCtxRetain) primary_context_retain;
  decltype(&cuCtxGetCurrent) context_get_current;
  decltype(&cuCtxGetDevice) context_get_device;
  decltype(&cuCtxPushCurrent) context_push;
  decltype(&cuCtxPopCurrent) context_pop;
  decltype(&cuMemAddressReserve) address_reserve;
  decltype(&cuMemAddressFree) address_free;
  decltype(&cuMemCreate) create;
  decltype(&cuMemRelease) release;
  decltype(&cuMemMap) map;
  decltype(&cuMemUnmap) unmap;
  decltype(&cuMemSetAccess) set_access;
  decltype(&cuMemGetAccess) get_access;
  decltype(&cuMemExportToShareableHandle) export_handle;
  decltype(&cuMemImportFromShareableHandle) import_handle;
  decltype(&cuMemGetAllocationGranularity) granularity;
  decltype(&cuStreamGetId) stream_get_id;
  decltype(&cuStreamIsCapturing) stream_is_capturing;
  decltype(&cuLaunchKernel) launch_kernel;
  decltype(&cuEventRecord) event_record;
};

// Throws unsupported, "no CUDA driver", on a machine that has none.
const Driver& driver();

// How many devices this process sees. Throws as driver().
int device_count();

// Throws invalid_argument unless this process sees such a device.
void require_device(int ordinal);

// Throw what a call returned, unless that is success: out_of_memory, or system. `what` was done.
void require(cudaError_t status, std::string_view what);
void require(CUresult status, std::string_view what);

// The calling thread's current device, for a while. What was current before is again afterwards,
// also if that was none: to set a device that a process does not use would make it a context there,
// which takes hundreds of megabytes and about as many milliseconds.
class CurrentDevice {
 public:
  explicit CurrentDevice(int ordinal);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  bool changed_ = false;
};

}  // namespace muster::world::cuda

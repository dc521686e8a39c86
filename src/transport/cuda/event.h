// Asking whether a stream has come to an event.
#pragma once

#include "transport/cuda/relaxed_capture.h"

#include <cuda_runtime_api.h>

namespace muster::transport::cuda {

// cudaEventQuery(), also while another thread captures, and without leaving «not ready» behind as
// the thread's last error, which the next launch would be taken to have failed with.
inline cudaError_t query(cudaEvent_t event) noexcept {
  const RelaxedCapture relaxed;
  const cudaError_t status = cudaEventQuery(event);
  if (status == cudaErrorNotReady) cudaGetLastError();
  return status;
}

}  // namespace muster::transport::cuda

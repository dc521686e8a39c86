#include "transport/cuda/pointers.h"

#include "muster/error.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <string>

namespace muster::transport::cuda {

void require_reachable(std::string_view what, const void* data, int ordinal) {
  cudaPointerAttributes attributes{};
  cudaPointerGetAttributes(&attributes, data);
  cudaGetLastError();
  const bool elsewhere = attributes.type == cudaMemoryTypeDevice && attributes.device != ordinal;
  if (attributes.devicePointer != nullptr && !elsewhere) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("all_gather: the {} is not memory that cuda:{} can reach; it {}",
                          what,
                          ordinal,
                          elsewhere ? fmt::format("lies on cuda:{}", attributes.device)
                                    : std::string("is ordinary memory of the host")));
}

}  // namespace muster::transport::cuda

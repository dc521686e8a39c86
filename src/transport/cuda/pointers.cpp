#include "transport/cuda/pointers.h"

#include "muster/error.h"
#include "world/cuda/driver.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <string>
#include <string_view>

namespace muster::transport::cuda {

namespace {

void require_reachable(std::string_view name, const void* data, int ordinal) {
  cudaPointerAttributes attributes{};
  const cudaError_t status = cudaPointerGetAttributes(&attributes, data);
  if (status == cudaErrorInvalidValue) {  // says an older driver of the host's memory
    cudaGetLastError();
  } else {
    world::cuda::require(status, "asking where a tensor lies");
  }
  const bool elsewhere = attributes.type == cudaMemoryTypeDevice && attributes.device != ordinal;
  if (attributes.devicePointer != nullptr && !elsewhere) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("all_gather: the {} is not memory that cuda:{} can reach; it {}",
                          name,
                          ordinal,
                          elsewhere ? fmt::format("lies on cuda:{}", attributes.device)
                                    : std::string("is ordinary memory of the host")));
}

}  // namespace

std::optional<world::Range> place_on(int ordinal,
                                     const world::Arena& arena,
                                     const shm::TensorMemory& memory) {
  const auto place = shm::place_in(arena, memory);
  if (!place && memory.bytes > 0) require_reachable(memory.name, memory.data, ordinal);
  return place;
}

}  // namespace muster::transport::cuda

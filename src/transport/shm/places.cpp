#include "transport/shm/places.h"

#include "muster/error.h"

#include <fmt/format.h>

namespace muster::transport::shm {

namespace {

std::size_t bytes_between(std::size_t outer, std::size_t stride, std::size_t row_bytes) noexcept {
  return outer == 0 || row_bytes == 0 ? 0 : (outer - 1) * stride + row_bytes;
}

}  // namespace

TensorMemory output_memory(const Gather& gather) noexcept {
  return {"output",
          gather.output,
          bytes_between(gather.outer, gather.output_stride, gather.output_row_bytes)};
}

TensorMemory shard_memory(const Gather& gather) noexcept {
  return {"shard",
          gather.shard,
          bytes_between(gather.outer, gather.shard_stride, gather.shard_row_bytes)};
}

std::optional<world::Range> place_in(const world::Arena& arena,
                                     const TensorMemory& memory) noexcept {
  if (memory.bytes == 0) return std::nullopt;
  const auto offset = arena.offset_of(memory.data, memory.bytes);
  if (!offset) return std::nullopt;
  return world::Range{*offset, memory.bytes};
}

void refuse_held(const Endpoint& endpoint,
                 world::Arena& arena,
                 std::string_view name,
                 world::Range place) {
  const auto rank = arena.holder(place);
  if (!rank) return;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{}: the {} lies in memory that rank {} could still write, since a gather "
                  "that it did not finish has failed; use other memory until it answers or "
                  "its process has ended",
                  endpoint.operation(),
                  name,
                  *rank),
      *rank);
}

}  // namespace muster::transport::shm

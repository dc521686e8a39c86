#include "transport/shm/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace muster::transport::shm {

namespace {

// FNV-1a over the extents' 64-bit words.
std::uint64_t hash_without(const Shape& shape, int skipped) {
  std::uint64_t hash = 14695981039346656037U;
  for (int i = 0; i < shape.dimensions(); ++i) {
    const auto word = i == skipped ? ~std::uint64_t{0} : static_cast<std::uint64_t>(shape[i]);
    hash = (hash ^ word) * 1099511628211U;
    hash ^= hash >> 32;
  }
  return hash;
}

// Does a tensor of `outer` rows lie whole in the arena?
bool fits(std::uint64_t offset,
          std::uint64_t stride,
          std::uint64_t row_bytes,
          std::size_t outer,
          std::size_t arena_bytes) {
  if (outer == 0 || row_bytes == 0) return true;
  std::uint64_t last_row = 0;
  std::uint64_t end = 0;
  return !__builtin_mul_overflow(outer - 1, stride, &last_row) &&
         !__builtin_add_overflow(offset, last_row, &end) &&
         !__builtin_add_overflow(end, row_bytes, &end) && end <= arena_bytes;
}

}  // namespace

Shape Header::shape() const {
  std::array<std::int64_t, Shape::max_dimensions> values{};
  const std::size_t count = std::min<std::size_t>(dimensions, values.size());
  for (std::size_t d = 0; d < count; ++d) {
    for (int b = extent_bytes - 1; b >= 0; --b) values[d] = values[d] << 8 | extents[d][b];
  }
  return Shape(std::span<const std::int64_t>(values.data(), count));
}

Header make_header(const Gather& gather,
                   std::optional<std::size_t> shard_offset,
                   std::optional<std::size_t> output_offset) {
  Header header;
  header.dtype = static_cast<std::uint8_t>(gather.dtype);
  header.dimensions = static_cast<std::uint8_t>(gather.shard_shape.dimensions());
  header.gather_dim = static_cast<std::uint8_t>(gather.gather_dim);
  header.shape_hash = hash_without(gather.shard_shape, gather.gather_dim);
  header.in_outbox =
      gather.shard_bytes() <= (output_offset ? longest_before_push : outbox_bytes) ? 1 : 0;
  header.row_bytes = gather.shard_row_bytes;
  header.output_row_bytes = gather.output_row_bytes;
  header.shard_stride = gather.shard_stride;
  header.output_stride = gather.output_stride;
  header.shard_offset = shard_offset.value_or(private_memory);
  header.output_offset = output_offset.value_or(private_memory);
  header.in_place_offset = gather.in_place_offset;
  for (int d = 0; d < gather.shard_shape.dimensions(); ++d) {
    const auto extent = static_cast<std::uint64_t>(gather.shard_shape[d]);
    for (int b = 0; b < Header::extent_bytes; ++b) {
      header.extents[d][b] = static_cast<std::uint8_t>(extent >> (8 * b));
    }
  }
  return header;
}

bool is_sane(const Header& header, std::size_t outer, std::size_t arena_bytes) {
  return header.operation == 1 && bits(static_cast<DataType>(header.dtype)) != 0 &&
         header.dimensions >= 1 && header.dimensions <= Shape::max_dimensions &&
         header.gather_dim < header.dimensions && header.row_bytes <= header.output_row_bytes &&
         header.in_place_offset >= Gather::not_in_place && header.in_outbox <= 1 &&
         (header.in_outbox == 0 || outer == 0 || header.row_bytes <= outbox_bytes / outer) &&
         (header.shard_offset == private_memory ||
          fits(header.shard_offset, header.shard_stride, header.row_bytes, outer, arena_bytes)) &&
         (header.output_offset == private_memory || fits(header.output_offset,
                                                         header.output_stride,
                                                         header.output_row_bytes,
                                                         outer,
                                                         arena_bytes));
}

bool agree(const Header& a, const Header& b) {
  return a.operation == b.operation && a.dtype == b.dtype && a.dimensions == b.dimensions &&
         a.gather_dim == b.gather_dim && a.shape_hash == b.shape_hash;
}

std::string describe(const Header& header) {
  return fmt::format("shape {} {} along dimension {}",
                     header.shape().to_string(),
                     muster::to_string(static_cast<DataType>(header.dtype)),
                     header.gather_dim);
}

}  // namespace muster::transport::shm

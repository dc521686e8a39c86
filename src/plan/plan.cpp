#include <muster/plan.h>

#include "plan/refuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace muster {
namespace {

[[noreturn]] void refuse_size(const Shape& shape, DataType dtype) {
  refuse(
      fmt::format("{} {} is larger than 63 bits can count", shape.to_string(), to_string(dtype)));
}

std::int64_t product(std::int64_t a, std::int64_t b, const Shape& shape, DataType dtype) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) refuse_size(shape, dtype);
  return result;
}

// A zero anywhere makes the product zero, however large the other extents are.
std::int64_t product(std::span<const std::int64_t> extents, const Shape& shape, DataType dtype) {
  if (std::ranges::find(extents, 0) != extents.end()) return 0;
  std::int64_t result = 1;
  for (const std::int64_t extent : extents) result = product(result, extent, shape, dtype);
  return result;
}

std::int64_t bytes_of_row(std::int64_t elements, const Shape& shape, DataType dtype, int dim) {
  const int element_bits = bits(dtype);
  if (element_bits >= 8) return product(elements, element_bits / 8, shape, dtype);

  const int elements_a_byte = 8 / element_bits;
  if (elements % elements_a_byte != 0) {
    refuse(fmt::format(
        "{} {} gathered along dimension {} has rows of {} elements, {} bits each, which are not "
        "whole bytes; pad the dimension, or gather along one further out",
        shape.to_string(),
        to_string(dtype),
        dim,
        elements,
        element_bits));
  }
  return elements / elements_a_byte;
}

// The first member's shape with the sum of all members' extents in `dim`.
Shape gathered(std::span<const Shape> shards, int dim) {
  const Shape& first = shards.front();
  std::int64_t sum = 0;
  for (const Shape& shard : shards) {
    if (shard.dimensions() != first.dimensions() || shard.with(dim, first[dim]) != first) {
      const auto member = static_cast<int>(&shard - &first);
      throw Error(
          ErrorCode::mismatch,
          fmt::format(
              "member {} has shape {}, member 0 has {}; they may differ in dimension {} alone",
              member,
              shard.to_string(),
              first.to_string(),
              dim),
          member);
    }
    if (__builtin_add_overflow(sum, shard[dim], &sum)) {
      refuse(fmt::format("the members' extents in dimension {} add up to more than 63 bits", dim));
    }
  }
  return first.with(dim, sum);
}

}  // namespace

Rows rows_of(const Shape& shape, DataType dtype, int gather_dim) {
  const int dim = shape.normalized(gather_dim);
  if (bits(dtype) == 0) {
    refuse(fmt::format("dtype {} is not one of muster's", static_cast<int>(dtype)));
  }
  const auto extents = shape.extents();
  const auto split = static_cast<std::size_t>(dim);
  const std::int64_t outer = product(extents.first(split), shape, dtype);
  const std::int64_t inner = product(extents.subspan(split), shape, dtype);
  const std::int64_t row_bytes = bytes_of_row(inner, shape, dtype, dim);
  product(outer, row_bytes, shape, dtype);  // so that Rows::bytes() cannot overflow
  return {static_cast<std::size_t>(outer), static_cast<std::size_t>(row_bytes)};
}

GatherPlan::GatherPlan(std::span<const Shape> shards, DataType dtype, int gather_dim) {
  if (shards.empty()) refuse("a gather needs at least one member's shape");

  gather_dim_ = shards.front().normalized(gather_dim);
  output_shape_ = gathered(shards, gather_dim_);
  output_ = rows_of(output_shape_, dtype, gather_dim_);

  row_bytes_.reserve(shards.size());
  row_offset_.reserve(shards.size());
  std::size_t offset = 0;
  for (const Shape& shard : shards) {
    row_offset_.push_back(offset);
    row_bytes_.push_back(rows_of(shard, dtype, gather_dim_).row_bytes);
    offset += row_bytes_.back();
  }
}

}  // namespace muster

/// @file
/// The arithmetic of a gather: shapes and a dimension to strided rows of bytes.
///
/// The output of an all-gather along dimension d is a matrix of bytes. It has
/// `outer = prod(shape[:d])` rows; in each row, member i's section is a run of
/// `row_bytes[i] = shape_i[d] * prod(shape[d+1:]) * element size` bytes that begins
/// `sum(row_bytes[:i])` bytes into the row. Any dimension, any element type, equal or unequal
/// sections are this one thing.
#pragma once

#include <muster/dtype.h>
#include <muster/export.h>
#include <muster/shape.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace muster {

/// Rows of bytes: what one tensor is to a gather along one of its dimensions.
struct Rows {
  std::size_t outer = 0;      ///< number of rows: prod(shape[:d])
  std::size_t row_bytes = 0;  ///< bytes of one row: prod(shape[d:]) * element size

  std::size_t bytes() const noexcept { return outer * row_bytes; }
  friend bool operator==(const Rows&, const Rows&) = default;
};

/// The rows of a tensor gathered along `gather_dim` (which may be negative).
/// @throws Error invalid_argument for a scalar, a dimension outside the shape, an unknown dtype, a
///         size that does not fit 63 bits, or sub-byte elements whose rows are not whole bytes.
MUSTER_EXPORT Rows rows_of(const Shape& shape, DataType dtype, int gather_dim);

/// Where every member's section lies in the gathered tensor. Immutable; needs no world.
class MUSTER_EXPORT GatherPlan {
 public:
  /// A plan for members whose shards have these shapes, in group order.
  /// @throws Error mismatch when shapes differ elsewhere than in `gather_dim`, naming the member's
  ///         position in the list as the peer; invalid_argument as rows_of(), for an empty list,
  ///         and when the sum does not fit 63 bits.
  GatherPlan(std::span<const Shape> shards, DataType dtype, int gather_dim);

  int members() const noexcept { return static_cast<int>(row_bytes_.size()); }
  int gather_dim() const noexcept { return gather_dim_; }               ///< never negative
  const Shape& output_shape() const noexcept { return output_shape_; }  ///< of the whole
  std::size_t outer() const noexcept { return output_.outer; }          ///< rows
  std::size_t output_row_bytes() const noexcept { return output_.row_bytes; }
  std::size_t output_bytes() const noexcept { return output_.bytes(); }

  /// Bytes of one row of member i's section. 0 <= i < members().
  std::size_t row_bytes(int i) const { return row_bytes_.at(static_cast<std::size_t>(i)); }
  /// Where member i's run begins in each output row, in bytes. 0 <= i < members().
  std::size_t row_offset(int i) const { return row_offset_.at(static_cast<std::size_t>(i)); }

 private:
  Shape output_shape_;
  int gather_dim_ = 0;
  Rows output_;
  std::vector<std::size_t> row_bytes_;
  std::vector<std::size_t> row_offset_;
};

}  // namespace muster

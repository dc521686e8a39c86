/// @file
/// Views of tensors in memory that the caller owns.
#pragma once

#include <muster/dtype.h>
#include <muster/shape.h>

#include <cstddef>
#include <optional>

namespace muster {

/// A tensor to read: row-major, contiguous, or with a stride between its outer rows.
///
/// A gather along dimension d sees a tensor as prod(shape[:d]) rows, each a contiguous run of
/// prod(shape[d:]) elements. `row_stride` is the distance in **bytes** from one such row to the
/// next, for a view into a wider tensor, and at least as long as a row where there are several;
/// without it rows follow each other. Data may have any alignment, and may be null where the tensor
/// has no bytes. The view does not own the memory. What breaks this is refused by the call that
/// takes the view, with invalid_argument.
struct ConstTensorView {
  const void* data = nullptr;
  DataType dtype = DataType::uint8;
  Shape shape;
  std::optional<std::size_t> row_stride = std::nullopt;
};

/// A tensor to write: as ConstTensorView.
struct TensorView {
  void* data = nullptr;
  DataType dtype = DataType::uint8;
  Shape shape;
  std::optional<std::size_t> row_stride = std::nullopt;

  // Implicit, as a pointer to const is: a view to write is also one to read.
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator ConstTensorView() const { return {data, dtype, shape, row_stride}; }
};

}  // namespace muster

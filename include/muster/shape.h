/// @file
/// Extents of a tensor.
#pragma once

#include <muster/export.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace muster {

/// The extents of a tensor, outermost first, in elements. A value type; at most 8 dimensions.
class MUSTER_EXPORT Shape {
 public:
  static constexpr int max_dimensions = 8;

  /// A scalar's shape. It cannot be gathered: there is no dimension to gather along.
  Shape() = default;

  /// @throws Error invalid_argument for more than 8 dimensions or a negative extent.
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(std::span<const std::int64_t> extents);

  int dimensions() const noexcept { return dimensions_; }
  std::int64_t operator[](int dimension) const noexcept {
    return extents_[static_cast<std::size_t>(dimension)];
  }
  std::span<const std::int64_t> extents() const noexcept {
    return {extents_.data(), static_cast<std::size_t>(dimensions_)};
  }

  /// The same shape with one extent replaced. `dimension` counts from the end when negative.
  /// @throws Error invalid_argument for a dimension outside the shape or a negative extent.
  Shape with(int dimension, std::int64_t extent) const;

  /// `dimension` as a non-negative index.
  /// @throws Error invalid_argument unless -dimensions() <= dimension < dimensions().
  int normalized(int dimension) const;

  /// Product of all extents.
  /// @throws Error invalid_argument when it does not fit 63 bits.
  std::int64_t elements() const;

  /// "[8, 64128]"
  std::string to_string() const;

  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    return a.dimensions_ == b.dimensions_ && a.extents_ == b.extents_;
  }

 private:
  std::array<std::int64_t, max_dimensions> extents_{};  // zero behind the last dimension
  int dimensions_ = 0;
};

}  // namespace muster

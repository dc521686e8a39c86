#include <muster/shape.h>

#include "plan/refuse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace muster {
namespace {

std::string list(std::span<const std::int64_t> extents) {
  return fmt::format("[{}]", fmt::join(extents, ", "));
}

}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) {
  if (extents.size() > max_dimensions) {
    refuse(fmt::format("shape {} has {} dimensions; at most {} are possible",
                       list(extents),
                       extents.size(),
                       max_dimensions));
  }
  for (const std::int64_t extent : extents) {
    if (extent < 0)
      refuse(fmt::format("shape {} has the negative extent {}", list(extents), extent));
  }
  std::ranges::copy(extents, extents_.begin());
  dimensions_ = static_cast<int>(extents.size());
}

Shape Shape::with(int dimension, std::int64_t extent) const {
  std::array<std::int64_t, max_dimensions> changed = extents_;
  changed[static_cast<std::size_t>(normalized(dimension))] = extent;
  return Shape(std::span(changed.data(), static_cast<std::size_t>(dimensions_)));
}

int Shape::normalized(int dimension) const {
  if (dimensions_ == 0) {
    refuse("a scalar (shape []) has no dimension to gather along; give it the shape [1]");
  }
  if (dimension < -dimensions_ || dimension >= dimensions_) {
    refuse(fmt::format("gather_dim {} is outside [{}, {}) of shape {}",
                       dimension,
                       -dimensions_,
                       dimensions_,
                       to_string()));
  }
  return dimension < 0 ? dimension + dimensions_ : dimension;
}

std::int64_t Shape::elements() const {
  // A zero anywhere makes the product zero, however large the other extents are.
  if (std::ranges::find(extents(), 0) != extents().end()) return 0;
  std::int64_t product = 1;
  for (const std::int64_t extent : extents()) {
    if (__builtin_mul_overflow(product, extent, &product)) {
      refuse(fmt::format("shape {} has more elements than 63 bits can count", to_string()));
    }
  }
  return product;
}

std::string Shape::to_string() const {
  return list(extents());
}

}  // namespace muster

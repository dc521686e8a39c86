/// @file
/// A matrix that peers can write to.
#pragma once

#include <muster/muster.h>

#include <cstdint>

/// A matrix of floats in a Buffer of the world, so that a gather into it takes one copy.
class Matrix {
 public:
  Matrix(muster::World& world, std::int64_t rows, std::int64_t columns)
      : shape_{rows, columns},
        memory_(world.allocate(static_cast<std::size_t>(shape_.elements()) * sizeof(float))) {}

  std::int64_t rows() const { return shape_[0]; }
  std::int64_t columns() const { return shape_[1]; }
  float* data() const { return reinterpret_cast<float*>(memory_.data()); }
  float* row(std::int64_t i) const { return data() + i * columns(); }

  muster::TensorView view() const { return {data(), muster::DataType::float32, shape_}; }
  /// The same elements as one long row.
  muster::TensorView flat() const {
    return {data(), muster::DataType::float32, {shape_.elements()}};
  }

 private:
  muster::Shape shape_;
  muster::Buffer memory_;
};

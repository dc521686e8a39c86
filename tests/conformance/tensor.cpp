#include "conformance/tensor.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster::test {
namespace {

constexpr std::size_t guard_bytes = 128;

std::size_t aligned(const std::byte* data, std::size_t shift) {
  const auto address = reinterpret_cast<std::uintptr_t>(data) + guard_bytes;
  return guard_bytes + (64 - address % 64) % 64 + shift;
}

std::string describe(std::byte value) {
  return std::to_string(std::to_integer<int>(value));
}

}  // namespace

GuardedTensor::GuardedTensor(const Rank& rank,
                             Place place,
                             DataType dtype,
                             std::vector<std::int64_t> shape,
                             std::size_t axis,
                             Layout layout)
    : memory_(rank.memory),
      dtype_(dtype),
      shape_(std::move(shape)),
      axis_(axis),
      stride_(row_bytes(shape_[axis]) + layout.padding) {
  const std::size_t size = 2 * guard_bytes + 64 + layout.shift + rows() * stride_;
  block_ = memory_.allocate(rank.world, place, size);
  start_ = aligned(block_.data, layout.shift);
  image_ = random_bytes(size, size ^ start_);
  memory_.copy(block_.data, image_.data(), image_.size());
}

TensorView GuardedTensor::view() const {
  return section(0, shape_[axis_]);
}

TensorView GuardedTensor::section(std::int64_t offset, std::int64_t extent) const {
  std::vector<std::int64_t> shape = shape_;
  shape[axis_] = extent;
  TensorView view{nullptr, dtype_, Shape(shape)};
  if (byte_size(dtype_, shape) > 0) view.data = block_.data + start_ + row_bytes(offset);
  if (stride_ != row_bytes(extent)) view.row_stride = stride_;
  return view;
}

void GuardedTensor::write(const Array& part, std::int64_t offset) {
  overlay(part, offset);
  memory_.copy(block_.data, image_.data(), image_.size());
}

void GuardedTensor::expect(const Array& whole, const char* what) {
  overlay(whole, 0);
  expect_unchanged(what);
}

void GuardedTensor::expect_unchanged(const char* what) const {
  std::vector<std::byte> actual(image_.size());
  memory_.copy(actual.data(), block_.data, actual.size());
  if (std::memcmp(actual.data(), image_.data(), actual.size()) == 0) return;

  const auto [is, due] = std::ranges::mismatch(actual, image_);
  const auto place = is - actual.begin() - static_cast<std::ptrdiff_t>(start_);
  throw std::runtime_error(std::string(what) + ": byte " + std::to_string(place) + " of " +
                           std::to_string(rows()) + " rows, " + std::to_string(stride_) +
                           " bytes apart with " + std::to_string(row_bytes(shape_[axis_])) +
                           " bytes each, is " + describe(*is) + " instead of " + describe(*due));
}

std::size_t GuardedTensor::rows() const {
  return std::accumulate(shape_.begin(),
                         shape_.begin() + static_cast<std::ptrdiff_t>(axis_),
                         std::size_t{1},
                         [](std::size_t product, std::int64_t extent) {
                           return product * static_cast<std::size_t>(extent);
                         });
}

std::size_t GuardedTensor::row_bytes(std::int64_t extent) const {
  std::vector<std::int64_t> row(shape_.begin() + static_cast<std::ptrdiff_t>(axis_), shape_.end());
  row.front() = extent;
  return byte_size(dtype_, row);
}

void GuardedTensor::overlay(const Array& part, std::int64_t offset) {
  const std::size_t size = row_bytes(part.shape[axis_]);
  for (std::size_t row = 0; row < rows(); ++row) {
    std::copy_n(
        part.bytes.begin() + static_cast<std::ptrdiff_t>(row * size),
        size,
        image_.begin() + static_cast<std::ptrdiff_t>(start_ + row * stride_ + row_bytes(offset)));
  }
}

}  // namespace muster::test

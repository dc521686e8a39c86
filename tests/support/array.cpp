#include "support/array.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <utility>

namespace muster::test {
namespace {

using Index = std::vector<std::int64_t>;

std::int64_t product(std::span<const std::int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

std::int64_t flat(const Index& index, const std::vector<std::int64_t>& shape) {
  std::int64_t place = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) place = place * shape[d] + index[d];
  return place;
}

void advance(Index& index, const std::vector<std::int64_t>& shape) {
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (++index[d] < shape[d]) return;
    index[d] = 0;
  }
}

void copy_element(std::int64_t bits,
                  Array& to,
                  std::int64_t to_place,
                  const Array& from,
                  std::int64_t from_place) {
  if (bits >= 8) {
    const std::int64_t size = bits / 8;
    std::memcpy(to.bytes.data() + to_place * size,
                from.bytes.data() + from_place * size,
                static_cast<std::size_t>(size));
    return;
  }
  const auto shift = [](std::int64_t place) { return place % 2 * 4; };
  const std::byte nibble =
      from.bytes[static_cast<std::size_t>(from_place / 2)] >> shift(from_place) & std::byte{15};
  std::byte& target = to.bytes[static_cast<std::size_t>(to_place / 2)];
  target = (target & ~(std::byte{15} << shift(to_place))) | nibble << shift(to_place);
}

}  // namespace

std::vector<DataType> all_dtypes() {
  std::vector<DataType> all;
  for (std::size_t i = 1; i <= dtype_count; ++i) all.push_back(static_cast<DataType>(i));
  return all;
}

std::int64_t element_bits(DataType dtype) {
  const std::string name(to_string(dtype));
  return std::stoll(name.substr(name.find_first_of("123456789")));
}

std::size_t byte_size(DataType dtype, std::span<const std::int64_t> shape) {
  return static_cast<std::size_t>(product(shape) * element_bits(dtype) / 8);
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min(sizeof word, size - i));
  }
  return bytes;
}

Array random_array(DataType dtype, std::vector<std::int64_t> shape, std::uint64_t seed) {
  const std::size_t size = byte_size(dtype, shape);
  return {dtype, std::move(shape), random_bytes(size, seed)};
}

Array concatenate(std::span<const Array> arrays, std::size_t axis) {
  Array result{arrays.front().dtype, arrays.front().shape, {}};
  result.shape[axis] = 0;
  for (const Array& array : arrays) result.shape[axis] += array.shape[axis];
  result.bytes.resize(byte_size(result.dtype, result.shape));

  // Which array each index of the axis comes from, and which index it has there.
  std::vector<std::pair<const Array*, std::int64_t>> sources;
  for (const Array& array : arrays) {
    for (std::int64_t i = 0; i < array.shape[axis]; ++i) sources.emplace_back(&array, i);
  }

  Index index(result.shape.size(), 0);
  Index inside = index;
  const std::int64_t bits = element_bits(result.dtype);
  const std::int64_t elements = product(result.shape);
  for (std::int64_t place = 0; place < elements; ++place, advance(index, result.shape)) {
    const auto& [source, axis_index] = sources[static_cast<std::size_t>(index[axis])];
    inside = index;
    inside[axis] = axis_index;
    copy_element(bits, result, place, *source, flat(inside, source->shape));
  }
  return result;
}

}  // namespace muster::test

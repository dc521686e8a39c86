// The reference that gathers are compared with: arrays as NumPy has them, slow and plain. Shares no
// code with the library.
#pragma once

#include <muster/dtype.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace muster::test {

struct Array {
  DataType dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;  // row-major, two elements a byte where they are of 4 bits
};

inline constexpr std::size_t dtype_count = 20;
std::vector<DataType> all_dtypes();

// From the first number in the type's name ("float8_e4m3").
std::int64_t element_bits(DataType dtype);

std::size_t byte_size(DataType dtype, std::span<const std::int64_t> shape);

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed);
Array random_array(DataType dtype, std::vector<std::int64_t> shape, std::uint64_t seed);

// numpy.concatenate: element by element, over all indices of the result. 0 <= axis.
Array concatenate(std::span<const Array> arrays, std::size_t axis);

}  // namespace muster::test

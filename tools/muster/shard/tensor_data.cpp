#include "shard/tensor_data.h"

#include "exit_status.h"

#include <fmt/format.h>
#include <muster/dtype.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

namespace muster::tool {
namespace {

using ::onnx::TensorProto;

static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");

[[noreturn]] void fail(const TensorProto& tensor, const std::string& what) {
  throw Failure(fmt::format("tensor \"{}\": {}", tensor.name(), what));
}

[[noreturn]] void fail_size(const TensorProto& tensor, std::size_t has, std::size_t expected) {
  fail(tensor, fmt::format("has {} bytes of data where its shape needs {}", has, expected));
}

std::size_t element_count(const TensorProto& tensor) {
  const auto& dims = tensor.dims();
  if (std::ranges::any_of(dims, [](auto extent) { return extent < 0; })) {
    fail(tensor, "has a negative extent");
  }
  if (std::ranges::find(dims, 0) != dims.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t extent : dims) {
    if (__builtin_mul_overflow(count, extent, &count)) fail(tensor, "is too large to exist");
  }
  return static_cast<std::size_t>(count);
}

template <typename T>
void append(std::vector<std::byte>& bytes, T value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof value);
}

// Each value as one element of that many bytes (complex numbers lie as two float32 or float64).
template <typename List>
void append_all(std::vector<std::byte>& bytes, const List& values) {
  for (const auto value : values) append(bytes, value);
}

// onnx.proto: which field holds which type. int32_data holds everything below 32 bits, and the
// bits of 16- and 8-bit floats.
void append_typed(std::vector<std::byte>& bytes, const TensorProto& tensor, DataType dtype) {
  switch (dtype) {
    case DataType::float32:
    case DataType::complex64:
      return append_all(bytes, tensor.float_data());
    case DataType::float64:
    case DataType::complex128:
      return append_all(bytes, tensor.double_data());
    case DataType::int64:
      return append_all(bytes, tensor.int64_data());
    case DataType::uint64:
      return append_all(bytes, tensor.uint64_data());
    case DataType::uint32:
      for (const auto value : tensor.uint64_data()) {
        append(bytes, static_cast<std::uint32_t>(value));
      }
      return;
    case DataType::int32:
      return append_all(bytes, tensor.int32_data());
    default:
      break;
  }
  for (const std::int32_t value : tensor.int32_data()) {
    if (bits(dtype) == 16) {
      append(bytes, static_cast<std::uint16_t>(value));
    } else {
      append(bytes, static_cast<std::uint8_t>(value));
    }
  }
}

std::size_t parse_number(const TensorProto& tensor,
                         const std::string& key,
                         const std::string& text) {
  std::size_t number = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc() || result.ptr != end) {
    fail(tensor, fmt::format("external data with {} \"{}\"", key, text));
  }
  return number;
}

struct Place {
  std::string location;
  std::size_t offset = 0;
  std::optional<std::size_t> length;
};

Place place_of(const TensorProto& tensor) {
  Place place;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") place.location = entry.value();
    if (entry.key() == "offset") place.offset = parse_number(tensor, "offset", entry.value());
    if (entry.key() == "length") place.length = parse_number(tensor, "length", entry.value());
  }
  return place;
}

}  // namespace

bool is_external(const TensorProto& tensor) {
  return tensor.data_location() == TensorProto::EXTERNAL;
}

std::optional<std::size_t> byte_size(const TensorProto& tensor) {
  const std::size_t count = element_count(tensor);
  const auto dtype = onnx::dtype_of(tensor.data_type());
  if (!dtype) return std::nullopt;
  const auto element_bits = static_cast<std::size_t>(bits(*dtype));
  std::size_t total = 0;
  // 2^60 bytes exist nowhere, and sums of such sizes must not overflow.
  if (__builtin_mul_overflow(count, element_bits, &total) || total > std::size_t{1} << 60) {
    fail(tensor, "is too large to exist");
  }
  return (total + 7) / 8;
}

const MappedFile& TensorData::file(const TensorProto& tensor, const std::string& location) {
  if (const auto known = files_.find(location); known != files_.end()) return known->second;
  const std::filesystem::path path(location);
  const bool outside = path.is_absolute() || std::ranges::find(path, "..") != path.end() ||
                       location.empty() || location.find('\0') != std::string::npos;
  if (outside) {
    fail(tensor,
         fmt::format("external data in \"{}\", which is no place in the model's folder", location));
  }
  try {
    return files_.emplace(location, MappedFile(folder_ / path)).first->second;
  } catch (const Failure& failure) {
    fail(tensor, failure.what());
  }
}

std::span<const std::byte> TensorData::external(const TensorProto& tensor) {
  const Place place = place_of(tensor);
  const std::span<const std::byte> whole = file(tensor, place.location).bytes();
  const auto counted = byte_size(tensor);
  if (!counted && !place.length) fail(tensor, "external data without a length");
  const std::size_t size = counted ? *counted : *place.length;
  if (place.length.value_or(size) != size) fail_size(tensor, *place.length, size);
  if (place.offset > whole.size() || whole.size() - place.offset < size) {
    fail(tensor,
         fmt::format("needs {} bytes at {} of {}, which has {}",
                     size,
                     place.offset,
                     (folder_ / place.location).string(),
                     whole.size()));
  }
  return whole.subspan(place.offset, size);
}

std::span<const std::byte> TensorData::bytes(const TensorProto& tensor,
                                             std::vector<std::byte>& scratch) {
  if (is_external(tensor)) return external(tensor);
  const auto size = byte_size(tensor);
  if (!size) fail(tensor, "has elements of a type without a size");

  std::span<const std::byte> found;
  if (tensor.has_raw_data()) {
    found = std::as_bytes(std::span(tensor.raw_data().data(), tensor.raw_data().size()));
  } else {
    scratch.clear();
    append_typed(scratch, tensor, *onnx::dtype_of(tensor.data_type()));
    found = scratch;
  }
  if (found.size() != *size) fail_size(tensor, found.size(), *size);
  return found;
}

void TensorData::check(const TensorProto& tensor) {
  std::vector<std::byte> scratch;
  if (is_external(tensor) || byte_size(tensor)) bytes(tensor, scratch);
}

}  // namespace muster::tool

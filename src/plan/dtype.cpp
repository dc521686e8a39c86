#include <muster/dtype.h>
#include <muster/error.h>

#include <algorithm>
#include <array>
#include <string>

namespace muster {
namespace {

struct Row {
  DataType dtype;
  int bits;
  std::string_view name;
};

constexpr std::array table{
    Row{DataType::bool8, 8, "bool8"},
    Row{DataType::int8, 8, "int8"},
    Row{DataType::int16, 16, "int16"},
    Row{DataType::int32, 32, "int32"},
    Row{DataType::int64, 64, "int64"},
    Row{DataType::uint8, 8, "uint8"},
    Row{DataType::uint16, 16, "uint16"},
    Row{DataType::uint32, 32, "uint32"},
    Row{DataType::uint64, 64, "uint64"},
    Row{DataType::float16, 16, "float16"},
    Row{DataType::bfloat16, 16, "bfloat16"},
    Row{DataType::float32, 32, "float32"},
    Row{DataType::float64, 64, "float64"},
    Row{DataType::float8_e4m3, 8, "float8_e4m3"},
    Row{DataType::float8_e5m2, 8, "float8_e5m2"},
    Row{DataType::complex64, 64, "complex64"},
    Row{DataType::complex128, 128, "complex128"},
    Row{DataType::int4, 4, "int4"},
    Row{DataType::uint4, 4, "uint4"},
    Row{DataType::float4_e2m1, 4, "float4_e2m1"},
};

// The values are consecutive from 1, so that a type is looked up by its place.
constexpr bool row_is_at_its_place() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (static_cast<std::size_t>(table[i].dtype) != i + 1) return false;
  }
  return true;
}
static_assert(row_is_at_its_place());

const Row* find(DataType dtype) noexcept {
  const auto place = static_cast<std::size_t>(dtype) - 1;  // 0 wraps far beyond the table
  return place < table.size() ? &table[place] : nullptr;
}

}  // namespace

int bits(DataType dtype) noexcept {
  const Row* row = find(dtype);
  return row ? row->bits : 0;
}

std::string_view to_string(DataType dtype) noexcept {
  const Row* row = find(dtype);
  return row ? row->name : "unknown";
}

DataType parse_dtype(std::string_view name) {
  const auto row = std::ranges::find(table, name, &Row::name);
  if (row != table.end()) return row->dtype;

  std::string names;
  for (const Row& known : table) names.append(names.empty() ? "" : ", ").append(known.name);
  throw Error(ErrorCode::invalid_argument,
              "no dtype is named \"" + std::string(name) + "\"; the names are " + names);
}

}  // namespace muster

#include "settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <muster/error.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace muster::tensorrt {

namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw Error(ErrorCode::invalid_argument, text);
}

template <typename Integer>
std::vector<std::int64_t> widened(const Field& field) {
  std::vector<Integer> values(static_cast<std::size_t>(field.length));
  std::memcpy(values.data(), field.data, values.size() * sizeof(Integer));
  return {values.begin(), values.end()};
}

std::vector<std::int64_t> integers(const Field& field) {
  if (field.length < 1 || field.data == nullptr)
    refuse(fmt::format("field '{}' is empty", field.name));
  if (field.type == Field::int32) return widened<std::int32_t>(field);
  if (field.type == Field::int64) return widened<std::int64_t>(field);
  refuse(fmt::format("field '{}' must be of type int32, it is of type {}", field.name, field.type));
}

std::int64_t integer(const Field& field) {
  const auto values = integers(field);
  if (values.size() == 1) return values.front();
  refuse(fmt::format("field '{}' must be one integer, it has {}", field.name, values.size()));
}

int small_integer(const Field& field) {
  const std::int64_t value = integer(field);
  if (value == static_cast<int>(value)) return static_cast<int>(value);
  refuse(fmt::format("field '{}' is {}", field.name, value));
}

bool flag(const Field& field) {
  const std::int64_t value = integer(field);
  if (value == 0 || value == 1) return value == 1;
  refuse(fmt::format("field '{}' is {}; it is 0 or 1", field.name, value));
}

Group ranks(const Field& field) {
  std::vector<int> ranks;
  for (const std::int64_t rank : integers(field)) {
    if (rank != static_cast<int>(rank)) refuse(fmt::format("field 'group' has rank {}", rank));
    ranks.push_back(static_cast<int>(rank));
  }
  return Group(std::move(ranks));
}

void set(Settings& settings, const Field& field) {
  if (field.name == "group") {
    settings.group = ranks(field);
  } else if (field.name == "gather_dim") {
    settings.gather_dim = small_integer(field);
  } else if (field.name == "sizes") {
    settings.sizes = integers(field);
  } else if (field.name == "type_id") {
    settings.type_id = small_integer(field);
  } else if (field.name == "timeout_ms") {
    settings.timeout = std::chrono::milliseconds(integer(field));
  } else if (field.name == "share_communicator") {
    settings.share_communicator = flag(field);
  } else {
    refuse(
        fmt::format("there is no field '{}'; there are group, gather_dim, sizes, type_id, "
                    "timeout_ms, share_communicator",
                    field.name));
  }
}

void check_sizes(const Settings& settings) {
  const auto& sizes = settings.sizes;
  if (sizes.size() != static_cast<std::size_t>(settings.group.size())) {
    refuse(fmt::format("field 'sizes' has {} sections, group {} has {} members",
                       sizes.size(),
                       settings.group.to_string(),
                       settings.group.size()));
  }
  std::int64_t sum = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 || __builtin_add_overflow(sum, size, &sum)) {
      refuse(fmt::format("field 'sizes' has a section of {}", size));
    }
  }
}

}  // namespace

void check(const Settings& settings) {
  if (settings.gather_dim < -Shape::max_dimensions ||
      settings.gather_dim >= Shape::max_dimensions) {
    refuse(fmt::format("field 'gather_dim' is {}; tensors have at most {} dimensions",
                       settings.gather_dim,
                       Shape::max_dimensions));
  }
  if (!settings.sizes.empty()) check_sizes(settings);
  if (settings.type_id && !dtype_of(*settings.type_id)) {
    refuse(fmt::format("field 'type_id' is {}, which is no type of TensorRT's", *settings.type_id));
  }
  // A year and more is not meant, and would overflow a deadline's clock.
  if (settings.timeout.count() < 1 || settings.timeout > std::chrono::years(1)) {
    refuse(fmt::format("field 'timeout_ms' is {}", settings.timeout.count()));
  }
}

Settings parse_settings(const std::string& name, std::span<const Field> fields) {
  Settings settings;
  settings.name = name;
  for (const Field& field : fields) set(settings, field);
  if (std::ranges::none_of(fields, [](const Field& field) { return field.name == "group"; })) {
    refuse("field 'group' is missing: the ranks whose sections are gathered, in order");
  }
  check(settings);
  return settings;
}

std::string label_of(const Settings& settings) {
  return fmt::format("AllGather layer '{}'", settings.name);
}

int gather_dimension(const Settings& settings, int dimensions) {
  if (dimensions == 0) refuse("a scalar has no dimension to gather along");
  if (dimensions < 0 || dimensions > Shape::max_dimensions) {
    refuse(fmt::format(
        "{} dimensions; at most {} can be gathered", dimensions, Shape::max_dimensions));
  }
  const int dim = settings.gather_dim < 0 ? settings.gather_dim + dimensions : settings.gather_dim;
  if (dim >= 0 && dim < dimensions) return dim;
  refuse(fmt::format(
      "gather_dim {} is outside the tensor's {} dimensions", settings.gather_dim, dimensions));
}

std::int64_t gathered_extent(const Settings& settings, std::int64_t extent) {
  const auto& sizes = settings.sizes;
  if (!sizes.empty()) return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  std::int64_t whole = 0;
  if (!__builtin_mul_overflow(extent, std::int64_t{settings.group.size()}, &whole)) return whole;
  refuse("the gathered dimension does not fit 63 bits");
}

Shape gathered_shape(const Settings& settings, const Shape& section, int position) {
  const int dim = gather_dimension(settings, section.dimensions());
  const auto& sizes = settings.sizes;
  if (!sizes.empty() && section[dim] != sizes[static_cast<std::size_t>(position)]) {
    throw Error(
        ErrorCode::mismatch,
        fmt::format("rank {} has a section of shape {}, of which field 'sizes' says that it has "
                    "extent {} in dimension {}",
                    settings.group[position],
                    section.to_string(),
                    sizes[static_cast<std::size_t>(position)],
                    dim));
  }
  return section.with(dim, gathered_extent(settings, section[dim]));
}

}  // namespace muster::tensorrt

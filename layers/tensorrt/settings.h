// What an AllGather layer does: the fields that its creator is given, and their checks.
#pragma once

#include "element_type.h"

#include <muster/group.h>
#include <muster/shape.h>
#include <muster/world.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muster::tensorrt {

// A plugin field as TensorRT hands it over (nvinfer1::PluginField), without its header.
struct Field {
  static constexpr std::int32_t int32 = 5;  // values of nvinfer1::PluginFieldType
  static constexpr std::int32_t text = 6;
  static constexpr std::int32_t int64 = 10;

  std::string name;
  const void* data = nullptr;
  std::int32_t type = 0;
  std::int32_t length = 0;  // elements
};

struct Settings {
  std::string name;  // of the layer
  Group group{0};
  int gather_dim = 0;               // may be negative
  std::vector<std::int64_t> sizes;  // of the sections along gather_dim in group order, or none
  std::optional<TypeId> type_id;    // the only element type that the layer takes, or any
  std::chrono::milliseconds timeout = World::default_timeout;
  bool share_communicator = false;  // with the layer in other execution contexts

  friend bool operator==(const Settings&, const Settings&) = default;
};

// The settings of a layer of that name.
// Throws Error invalid_argument, saying which field is missing or wrong and why.
Settings parse_settings(const std::string& name, std::span<const Field> fields);

// Throws Error invalid_argument, as parse_settings(). Needs no world: networks are built where no
// rank runs.
void check(const Settings& settings);

// "AllGather layer 'logits'", for errors.
std::string label_of(const Settings& settings);

// gather_dim as an index. Throws Error invalid_argument for a dimension that tensors of so many
// dimensions do not have, for scalars and for more dimensions than muster gathers.
int gather_dimension(const Settings& settings, int dimensions);

// The extent of all sections together, where each has this one, or by the sizes.
// Throws Error invalid_argument when it does not fit 63 bits.
std::int64_t gathered_extent(const Settings& settings, std::int64_t extent);

// The shape of the whole, as the member at that position sees it; nothing is known of the others.
// Throws Error mismatch when the section has not the extent that the sizes say.
Shape gathered_shape(const Settings& settings, const Shape& section, int position);

}  // namespace muster::tensorrt

#include "attributes.h"

#include "element_type.h"
#include "process_world.h"

#include <fmt/format.h>
#include <muster/error.h>
#include <muster/shape.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

namespace muster::onnxruntime {

namespace {

[[noreturn]] void throw_invalid(const std::string& text) {
  throw Error(ErrorCode::invalid_argument, text);
}

// Is the attribute there? Throws if it is, but not of this kind; the engine tells the two apart by
// its message only.
bool present(OrtStatus* result, const char* name, std::string_view kind) {
  const Ort::Status status(result);
  if (status.IsOK()) return true;
  if (status.GetErrorMessage().find("No attribute with") != std::string::npos) return false;
  throw_invalid(fmt::format("attribute '{}' must be {}", name, kind));
}

constexpr std::string_view an_integer = "an integer",
                           some_integers = "a list of integers, at least one",
                           a_string = "a string";

}  // namespace

std::optional<std::int64_t> KernelAttributes::integer(const char* name) const {
  std::int64_t value = 0;
  OrtStatus* result = Ort::GetApi().KernelInfoGetAttribute_int64(info_, name, &value);
  return present(result, name, an_integer) ? std::optional(value) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> KernelAttributes::integers(const char* name) const {
  const auto get = Ort::GetApi().KernelInfoGetAttributeArray_int64;
  std::size_t size = 0;
  if (!present(get(info_, name, nullptr, &size), name, some_integers)) return std::nullopt;
  std::vector<std::int64_t> values(size);
  // As an attribute of another kind is told, too: it has no integers.
  if (size == 0) throw_invalid(fmt::format("attribute '{}' must be {}", name, some_integers));
  present(get(info_, name, values.data(), &size), name, some_integers);
  return values;
}

std::optional<std::string> KernelAttributes::text(const char* name) const {
  const auto get = Ort::GetApi().KernelInfoGetAttribute_string;
  std::size_t size = 0;  // with the terminating zero
  if (!present(get(info_, name, nullptr, &size), name, a_string)) return std::nullopt;
  std::string value(size, '\0');
  present(get(info_, name, value.data(), &size), name, a_string);
  value.resize(std::strlen(value.c_str()));
  return value;
}

// Bytes of an attribute's value; none if it is absent or of another kind, which the kernel's
// constructor will complain of.
std::vector<char> InferenceAttributes::read(const char* name, OrtOpAttrType type) const {
  const OrtApi& api = Ort::GetApi();
  const OrtOpAttr* attribute = nullptr;
  if (!Ort::Status(api.ShapeInferContext_GetAttribute(context_, name, &attribute)).IsOK())
    return {};
  std::vector<char> bytes(sizeof(std::int64_t));
  std::size_t size = 0;  // what is needed; set also where there is too little room
  Ort::Status status(api.ReadOpAttr(attribute, type, bytes.data(), bytes.size(), &size));
  if (!status.IsOK() && size > bytes.size()) {
    bytes.resize(size);
    status = Ort::Status(api.ReadOpAttr(attribute, type, bytes.data(), bytes.size(), &size));
  }
  if (!status.IsOK()) return {};
  bytes.resize(size);
  return bytes;
}

std::optional<std::int64_t> InferenceAttributes::integer(const char* name) const {
  const auto bytes = read(name, ORT_OP_ATTR_INT);
  std::int64_t value = 0;
  if (bytes.size() != sizeof(value)) return std::nullopt;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

std::optional<std::vector<std::int64_t>> InferenceAttributes::integers(const char* name) const {
  const auto bytes = read(name, ORT_OP_ATTR_INTS);
  if (bytes.empty()) return std::nullopt;
  std::vector<std::int64_t> values(bytes.size() / sizeof(std::int64_t));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(std::int64_t));
  return values;
}

std::optional<std::string> InferenceAttributes::text(const char* name) const {
  const auto bytes = read(name, ORT_OP_ATTR_STRING);
  if (bytes.empty()) return std::nullopt;
  return std::string(bytes.data(), strnlen(bytes.data(), bytes.size()));
}

namespace {

std::string how_to_launch(const World& world) {
  if (launched()) return fmt::format("outside the job's {} ranks", world.size());
  return "but this process was not started as a rank of a job; start it with "
         "`muster run -n N program`";
}

Group parse_group(const AttributeSource& source, const World& world) {
  const auto values = source.integers("group");
  if (!values) return Group::range(world.size());
  std::vector<int> ranks;
  for (const std::int64_t value : *values) {
    if (value > std::numeric_limits<int>::max()) {
      throw_invalid(fmt::format("attribute 'group' has rank {}", value));
    }
    ranks.push_back(static_cast<int>(std::max<std::int64_t>(value, -1)));
  }
  Group group(std::move(ranks));
  for (const int rank : group.ranks()) {
    if (rank >= world.size()) {
      throw_invalid(
          fmt::format("group {} has rank {}, {}", group.to_string(), rank, how_to_launch(world)));
    }
  }
  if (!group.position(world.rank())) {
    throw_invalid(
        fmt::format("this is rank {}, which is not in group {}; each rank runs a model "
                    "whose groups it is in",
                    world.rank(),
                    group.to_string()));
  }
  return group;
}

int parse_dimension(const AttributeSource& source, const char* name, std::int64_t absent) {
  const std::int64_t value = source.integer(name).value_or(absent);
  if (value < -Shape::max_dimensions || value >= Shape::max_dimensions) {
    throw_invalid(fmt::format("attribute '{}' is {}; tensors have at most {} dimensions",
                              name,
                              value,
                              Shape::max_dimensions));
  }
  return static_cast<int>(value);
}

std::vector<std::int64_t> parse_sizes(const AttributeSource& source, const Group& group) {
  auto sizes = source.integers("sizes");
  if (!sizes) return {};
  if (sizes->size() != static_cast<std::size_t>(group.size())) {
    throw_invalid(fmt::format("attribute 'sizes' has {} sections, group {} has {} members",
                              sizes->size(),
                              group.to_string(),
                              group.size()));
  }
  std::int64_t sum = 0;
  for (const std::int64_t size : *sizes) {
    if (size < 0 || __builtin_add_overflow(sum, size, &sum)) {
      throw_invalid(fmt::format("attribute 'sizes' has a section of {}", size));
    }
  }
  return *std::move(sizes);
}

Attributes parse_microsoft(const AttributeSource& source, const World& world) {
  const std::int64_t size = source.integer("group_size").value_or(1);
  if (size != world.size()) {
    throw_invalid(fmt::format(
        "attribute 'group_size' is {}, the job has {} ranks; start it with `muster run -n {}`, or "
        "use muster::AllGather for a group of some ranks",
        size,
        world.size(),
        size));
  }
  return {.group = Group::range(world.size()),
          .gather_dim = parse_dimension(source, "axis", 1),  // what the engine's schema says
          .sizes = {}};
}

}  // namespace

std::string operator_name(Dialect dialect) {
  return dialect == Dialect::muster ? "muster::AllGather" : "com.microsoft::AllGather";
}

Attributes parse_attributes(const AttributeSource& source, Dialect dialect, const World& world) {
  if (dialect == Dialect::microsoft) return parse_microsoft(source, world);
  Attributes attributes{.group = parse_group(source, world),
                        .gather_dim = parse_dimension(source, "gather_dim", 0),
                        .sizes = {}};
  attributes.sizes = parse_sizes(source, attributes.group);
  if (const auto wire_type = source.text("wire_type")) {
    if (wire_type->empty()) throw_invalid("attribute 'wire_type' is empty");
    attributes.wire_type = element_type_of(*wire_type);
  }
  return attributes;
}

}  // namespace muster::onnxruntime

// The attributes of an AllGather node, in either domain.
#pragma once

#include "ort.h"

#include <muster/group.h>
#include <muster/world.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace muster::onnxruntime {

// Which domain a node is of.
enum class Dialect {
  muster,     // muster::AllGather: group, gather_dim, sizes, wire_type
  microsoft,  // com.microsoft::AllGather: axis, group_size
};

// "muster::AllGather"
std::string operator_name(Dialect dialect);

struct Attributes {
  Group group;
  int gather_dim = 0;               // may be negative
  std::vector<std::int64_t> sizes;  // of the sections along gather_dim in group order, or none
  ONNXTensorElementDataType wire_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;  // or none
};

// Where a node's attributes are read. Each function is null for an attribute that is absent, and
// throws Error invalid_argument for one that is of another kind.
class AttributeSource {
 public:
  virtual ~AttributeSource() = default;
  virtual std::optional<std::int64_t> integer(const char* name) const = 0;
  virtual std::optional<std::vector<std::int64_t>> integers(const char* name) const = 0;
  virtual std::optional<std::string> text(const char* name) const = 0;
};

// As a kernel's constructor sees them.
class KernelAttributes : public AttributeSource {
 public:
  explicit KernelAttributes(const OrtKernelInfo* info) : info_(info) {}
  std::optional<std::int64_t> integer(const char* name) const override;
  std::optional<std::vector<std::int64_t>> integers(const char* name) const override;
  std::optional<std::string> text(const char* name) const override;

 private:
  const OrtKernelInfo* info_;
};

// As shape inference sees them.
class InferenceAttributes : public AttributeSource {
 public:
  explicit InferenceAttributes(const OrtShapeInferContext* context) : context_(context) {}
  std::optional<std::int64_t> integer(const char* name) const override;
  std::optional<std::vector<std::int64_t>> integers(const char* name) const override;
  std::optional<std::string> text(const char* name) const override;

 private:
  std::vector<char> read(const char* name, OrtOpAttrType type) const;
  const OrtShapeInferContext* context_;
};

// Throws Error invalid_argument, saying which attribute is wrong and why, also when this process's
// rank of the world cannot take part.
Attributes parse_attributes(const AttributeSource& source, Dialect dialect, const World& world);

}  // namespace muster::onnxruntime

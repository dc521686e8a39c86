// Where the elements of an ONNX tensor are: in the model, in one of its typed fields, or in a file.
#pragma once

#include "shard/mapped_file.h"

#include <muster/onnx.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muster::tool {

// Finds tensors' elements. What it maps stays mapped as long as it lives.
class TensorData {
 public:
  // `folder`: where the model lies; its external data lie there or below.
  explicit TensorData(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // The elements as raw_data has them: row-major, little-endian. Those in a typed field are put
  // into `scratch` first.
  // Throws Failure, naming the tensor, if there are more or fewer than its shape says, if its type
  // has no size, or if its external data are absent, too short, or said to lie elsewhere.
  std::span<const std::byte> bytes(const ::onnx::TensorProto& tensor,
                                   std::vector<std::byte>& scratch);

  // The same checks, except that a type without a size is none of our business.
  void check(const ::onnx::TensorProto& tensor);

 private:
  std::span<const std::byte> external(const ::onnx::TensorProto& tensor);
  const MappedFile& file(const ::onnx::TensorProto& tensor, const std::string& location);

  std::filesystem::path folder_;
  std::map<std::string, MappedFile> files_;
};

// Bytes that the elements take by shape and type; nothing for types that muster cannot count
// (strings). Throws Failure, naming the tensor, for extents that are negative or too large.
std::optional<std::size_t> byte_size(const ::onnx::TensorProto& tensor);

// Are the elements in a file of their own?
bool is_external(const ::onnx::TensorProto& tensor);

}  // namespace muster::tool

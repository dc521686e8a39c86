// The ranks' models, written.
#pragma once

#include "shard/rewrite.h"
#include "shard/tensor_data.h"

#include <filesystem>
#include <string>

namespace muster::tool {

// "rank0.onnx"
std::string model_file_name(int rank);

struct WriteOptions {
  int ranks = 0;
  // Weights go to files of their own ("rank0.onnx.data") when a model with them would be larger
  // than this, or when some already are in the model that was split.
  std::size_t inline_limit = 0;
};

// As much as fits protobuf's 2 GiB, less some room for what it wraps tensors in.
inline constexpr std::size_t largest_inline_model = (std::size_t{1} << 31) - (std::size_t{1} << 20);

// Writes all ranks' models into a directory that exists. The same input makes the same bytes.
// Throws Failure.
void write_models(const Rewritten& rewritten,
                  TensorData& data,
                  const WriteOptions& options,
                  const std::filesystem::path& directory);

}  // namespace muster::tool

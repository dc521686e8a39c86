// Tensors in files of numpy's format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace muster::tool {

struct NpyArray {
  std::string type;  // numpy's kind and size in bytes: "f4", "i8", "b1"
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;  // row-major, little-endian
};

// Throws Failure when the file is not there, is none of numpy's or not whole, or has another byte
// order or memory layout.
NpyArray read_npy(const std::filesystem::path& path);

// The file appears whole or not at all: where this throws Failure, one that was there is still.
void write_npy(const std::filesystem::path& path,
               const std::string& type,
               const std::vector<std::int64_t>& shape,
               const void* data,
               std::size_t bytes);

}  // namespace muster::tool

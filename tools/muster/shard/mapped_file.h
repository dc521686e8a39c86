// A file's bytes, mapped for reading.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace muster::tool {

// Movable, not copyable. The bytes are those of the moment they are read: whoever makes the file
// shorter meanwhile ends this program.
class MappedFile {
 public:
  // Throws Failure, naming the path, if it is no regular file or cannot be read.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace muster::tool

// A file that is written from its beginning to its end.
#pragma once

#include "file_descriptor.h"

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

namespace muster::tool {

// Throws Failure, naming the path, whatever goes wrong; and when a deferred signal waits.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);

  void write(std::span<const std::byte> bytes);
  void write(const google::protobuf::MessageLite& message);

  // Zeros up to a multiple of `alignment`.
  void align(std::size_t alignment);

  // Bytes written so far.
  std::size_t size() const noexcept { return size_; }

  // To be called at the end: all that the system has to say of the file is known then.
  void close();

 private:
  class Stream;

  void flush();
  void write_now(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  FileDescriptor file_;
  std::vector<std::byte> buffer_;
  std::size_t size_ = 0;
};

}  // namespace muster::tool

// A file that takes another one's place.
#pragma once

#include "file_descriptor.h"

#include <cstddef>
#include <filesystem>
#include <span>

namespace muster::tool {

// It appears under its path whole or not at all: one that was there stays until this one is
// complete. Throws Failure, naming the path, whatever goes wrong.
class Replacement {
 public:
  explicit Replacement(std::filesystem::path path);
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  void write(std::span<const std::byte> bytes);
  void complete();

 private:
  const std::filesystem::path path_;
  const std::filesystem::path unfinished_;  // beside it
  FileDescriptor file_;
  bool is_named_ = false;  // unfinished_
};

}  // namespace muster::tool

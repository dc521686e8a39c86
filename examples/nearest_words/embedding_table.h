/// @file
/// A language model's table of word vectors, read from a safetensors file.
#pragma once

#include <muster/communicator.h>

#include <cstdint>
#include <filesystem>
#include <vector>

/// The tensor of word vectors in a file: one row a word of the vocabulary.
class EmbeddingTable {
 public:
  /// Reads the header only.
  /// @throws std::runtime_error when the file is not one of a model with a float32 table.
  explicit EmbeddingTable(std::filesystem::path file);

  std::int64_t words() const { return words_; }
  std::int64_t width() const { return width_; }

  /// The rows of a section of the vocabulary, and nothing else of the file. Each row is scaled to
  /// length 1, so that the dot product of two is the cosine of the angle between them.
  std::vector<float> read(muster::Section section) const;

 private:
  std::filesystem::path file_;
  std::int64_t begin_ = 0;  // of the table in the file, in bytes
  std::int64_t words_ = 0;
  std::int64_t width_ = 0;
};

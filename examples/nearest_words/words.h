/// @file
/// Words: a model's vocabulary, and those to look up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

/// The words a model knows; a word's id is its row in the embedding table.
class Vocabulary {
 public:
  /// @throws std::runtime_error when there is no such file.
  explicit Vocabulary(const std::filesystem::path& file);

  std::int64_t size() const { return static_cast<std::int64_t>(words_.size()); }
  const std::string& operator[](std::int64_t id) const { return words_[id]; }
  std::optional<std::int64_t> find(const std::string& word) const;

  /// Whether an entry is a word, and not a number, a sign or the inner part of a word ("##ing").
  bool is_word(std::int64_t id) const;

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string, std::int64_t> ids_;
};

/// The ids of given words, in their order.
/// @throws std::runtime_error naming a word that the vocabulary lacks.
std::vector<std::int64_t> ids_of(const Vocabulary& vocabulary, std::span<const std::string> words);

/// The ids of the words of a text that the vocabulary has, the most frequent first. Short words are
/// left out: they are mostly "the" and "of".
/// @throws std::runtime_error when the file cannot be read or has no such words.
std::vector<std::int64_t> frequent_words(const Vocabulary& vocabulary,
                                         const std::filesystem::path& text,
                                         std::size_t at_most);

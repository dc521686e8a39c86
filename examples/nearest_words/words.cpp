#include "words.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace {

constexpr std::size_t short_word = 4;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::ifstream open(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot open " + file.string());
  return in;
}

std::vector<std::string> words_of(std::istream& text) {
  std::vector<std::string> words(1);
  for (auto c = std::istreambuf_iterator(text); c != std::istreambuf_iterator<char>(); ++c) {
    if (const char letter = to_lower(*c); is_lower(letter))
      words.back() += letter;
    else if (!words.back().empty())
      words.emplace_back();
  }
  return words;
}

}  // namespace

Vocabulary::Vocabulary(const std::filesystem::path& file) {
  std::ifstream in = open(file);
  for (std::string word; std::getline(in, word); words_.push_back(word)) ids_[word] = size();
}

std::optional<std::int64_t> Vocabulary::find(const std::string& word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

bool Vocabulary::is_word(std::int64_t id) const {
  const std::string& word = words_[id];
  return word.size() > 1 && std::ranges::all_of(word, is_lower);
}

std::vector<std::int64_t> ids_of(const Vocabulary& vocabulary, std::span<const std::string> words) {
  std::vector<std::int64_t> ids;
  for (const std::string& word : words) {
    const auto id = vocabulary.find(word);
    if (!id) throw std::runtime_error("not in the model's vocabulary: " + word);
    if (std::ranges::find(ids, *id) == ids.end()) ids.push_back(*id);
  }
  return ids;
}

std::vector<std::int64_t> frequent_words(const Vocabulary& vocabulary,
                                         const std::filesystem::path& text,
                                         std::size_t at_most) {
  std::ifstream in = open(text);
  std::vector<std::int64_t> ids;
  std::unordered_map<std::int64_t, int> count;
  for (const std::string& word : words_of(in)) {
    const auto id = vocabulary.find(word);
    if (id && word.size() > short_word && count[*id]++ == 0) ids.push_back(*id);
  }
  if (ids.empty()) throw std::runtime_error(text.string() + ": no word that the model knows");
  std::ranges::stable_sort(ids, std::greater{}, [&](std::int64_t id) { return count[id]; });
  ids.resize(std::min(ids.size(), at_most));
  return ids;
}

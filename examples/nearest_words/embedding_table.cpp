#include "embedding_table.h"

#include <bit>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>

namespace {

constexpr auto tensor = "embeddings.word_embeddings.weight";  // as BERT models name it

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

std::ifstream open(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + file.string());
  in.exceptions(std::ios::failbit | std::ios::badbit);
  return in;
}

struct Header {
  nlohmann::json json;   // of each tensor, by name: dtype, shape, data_offsets
  std::int64_t end = 0;  // in the file: offsets count from here
};

// A safetensors file is the header's length in 8 bytes, the header, and the tensors' bytes.
Header read_header(const std::filesystem::path& file) {
  std::ifstream in = open(file);
  std::uint64_t length = 0;
  in.read(reinterpret_cast<char*>(&length), sizeof length);
  if (length > std::filesystem::file_size(file))
    throw std::runtime_error(file.string() + " is not a safetensors file");
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  return {nlohmann::json::parse(text), in.tellg()};
}

void scale_to_length_1(std::span<float> row) {
  float squares = 0;
  for (const float value : row) squares += value * value;
  const float length = std::sqrt(squares);
  if (length == 0) return;
  for (float& value : row) value /= length;
}

}  // namespace

EmbeddingTable::EmbeddingTable(std::filesystem::path file) : file_(std::move(file)) {
  const Header header = read_header(file_);
  try {
    const auto& entry = header.json.at(tensor);
    if (entry.at("dtype") != "F32") throw std::runtime_error("the table is not float32");
    begin_ = header.end + entry.at("data_offsets").at(0).get<std::int64_t>();
    words_ = entry.at("shape").at(0);
    width_ = entry.at("shape").at(1);
  } catch (const std::exception& error) {
    throw std::runtime_error(file_.string() + ": no table of word vectors: " + error.what());
  }
}

std::vector<float> EmbeddingTable::read(muster::Section section) const {
  const auto row_bytes = width_ * static_cast<std::int64_t>(sizeof(float));
  std::vector<float> rows(static_cast<std::size_t>(section.extent * width_));

  std::ifstream in = open(file_);
  in.seekg(begin_ + section.offset * row_bytes);
  in.read(reinterpret_cast<char*>(rows.data()), section.extent * row_bytes);

  const auto width = static_cast<std::size_t>(width_);
  for (std::size_t at = 0; at < rows.size(); at += width)
    scale_to_length_1(std::span(rows).subspan(at, width));
  return rows;
}

// Nearest words: a language model's vocabulary, split over ranks.
//
//   muster run -n 4 nearest_words MODEL_FOLDER TEXT_FILE
//   muster run -n 4 nearest_words MODEL_FOLDER WORD...
//
// Each rank holds the vectors of a section of the vocabulary and scores a batch of words against
// them. A gather along the last dimension then gives every rank the scores of the whole vocabulary.
// Tensor-parallel inference computes its logits like this; here it is a tour of muster's interface.
#include <fmt/format.h>
#include <muster/muster.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "comparison.h"
#include "embedding_table.h"
#include "matrix.h"
#include "scores.h"
#include "words.h"

namespace {

constexpr std::size_t batch_words = 64;      // taken from a text, at most
constexpr std::size_t table_words = 10;      // printed, at most
constexpr std::ptrdiff_t nearest_words = 4;  // printed for each

/// A rank's part of the vocabulary. Parts differ by a word when the division has a remainder.
muster::Section section_of(int rank, int ranks, std::int64_t words) {
  const std::int64_t begin = words * rank / ranks;
  return {begin, words * (rank + 1) / ranks - begin};
}

/// The vectors of the words `ids`, which are sorted, from the ranks that hold them.
Matrix gather_vectors(muster::World& world,
                      muster::Communicator& everyone,
                      std::span<const std::int64_t> ids,
                      muster::Section mine,
                      std::span<const float> vectors,
                      std::int64_t width) {
  std::vector<float> shard;
  for (const std::int64_t id : ids) {
    if (id < mine.offset || id >= mine.offset + mine.extent) continue;
    const auto vector = vectors.subspan((id - mine.offset) * width, width);
    shard.insert(shard.end(), vector.begin(), vector.end());
  }
  // A rank has as many of the words as it happens to, perhaps none. Nobody is told how many: the
  // others learn it from the shard's shape.
  Matrix full(world, std::ssize(ids), width);
  everyone.all_gather({shard.data(), muster::DataType::float32, {std::ssize(shard) / width, width}},
                      full.view(),
                      0);
  return full;
}

/// The largest difference to the scores that a rank computes which holds the whole vocabulary.
float largest_difference(muster::World& world,
                         const EmbeddingTable& table,
                         const Matrix& queries,
                         const Matrix& scores) {
  const Matrix unsplit(world, scores.rows(), scores.columns());
  score(queries, table.read({0, table.words()}), unsplit);
  float largest = 0;
  for (std::int64_t i = 0; i < scores.rows() * scores.columns(); ++i)
    largest = std::max(largest, std::abs(scores.data()[i] - unsplit.data()[i]));
  return largest;
}

/// Where each rank's scores lie among those of the whole vocabulary.
muster::GatherPlan plan_of(int ranks, const Matrix& scores) {
  std::vector<muster::Shape> shards;
  for (int rank = 0; rank < ranks; ++rank)
    shards.push_back({scores.rows(), section_of(rank, ranks, scores.columns()).extent});
  return {shards, muster::DataType::float32, -1};
}

std::vector<std::int64_t> chosen_words(const Vocabulary& vocabulary,
                                       const std::vector<std::string>& text_or_words) {
  return std::filesystem::is_regular_file(text_or_words.front())
             ? frequent_words(vocabulary, text_or_words.front(), batch_words)
             : ids_of(vocabulary, text_or_words);
}

void print_heading(int ranks, std::int64_t words, std::size_t batch) {
  std::vector<std::int64_t> sections;
  for (int rank = 0; rank < ranks; ++rank)
    sections.push_back(section_of(rank, ranks, words).extent);
  fmt::print(
      "A language model's {} words, split over {} ranks: {}\n"
      "{} words scored against all of them; the nearest (cosine of the angle of their "
      "vectors):\n\n",
      words,
      ranks,
      fmt::join(sections, " + "),
      batch);
}

void print_nearest(const Vocabulary& vocabulary, std::int64_t word, const float* scores) {
  fmt::print("{:<13}", vocabulary[word]);
  for (const std::int64_t id : nearest(vocabulary, word, scores, nearest_words))
    fmt::print(" {:>13} {:.2f}", vocabulary[id], scores[id]);
  fmt::print("\n");
}

void run(const std::filesystem::path& model, const std::vector<std::string>& text_or_words) {
  // The launcher started this process as one of several ranks; started by hand, it is the only one.
  muster::World world = muster::World::join();
  muster::Communicator everyone(world, muster::Group::range(world.size()));

  const Vocabulary vocabulary(model / "vocab.txt");
  const std::vector<std::int64_t> words = chosen_words(vocabulary, text_or_words);
  std::vector<std::int64_t> batch = words;
  std::ranges::sort(batch);

  const EmbeddingTable table(model / "model.safetensors");
  const muster::Section mine = section_of(world.rank(), world.size(), table.words());
  const std::vector<float> vectors = table.read(mine);
  const Matrix queries = gather_vectors(world, everyone, batch, mine, vectors, table.width());

  const Matrix shard(world, queries.rows(), mine.extent);
  const Matrix scores(world, queries.rows(), table.words());
  score(queries, vectors, shard);
  everyone.all_gather(shard.view(), scores.view(), -1);

  const muster::GatherPlan plan = plan_of(world.size(), scores);
  const Times times = compare(world, everyone, shard, scores, plan);
  if (world.rank() != 0) return;

  print_heading(world.size(), table.words(), batch.size());
  for (const std::int64_t word : std::span(words).first(std::min(words.size(), table_words)))
    print_nearest(
        vocabulary, word, scores.row(std::ranges::lower_bound(batch, word) - batch.begin()));
  fmt::print(
      "\n{} scores, gathered into place: {:.3f} ms\n"
      "gathered on dimension 0, then transposed: {:.3f} ms ({:.1f} x)\n"
      "largest difference to the product on one rank: {}\n",
      plan.output_shape().to_string(),
      times.in_place,
      times.transposed,
      times.transposed / times.in_place,
      largest_difference(world, table, queries, scores));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fputs("usage: nearest_words MODEL_FOLDER TEXT_FILE|WORD...\n", stderr);
    return 2;
  }
  run(argv[1], {argv + 2, argv + argc});
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "nearest_words: %s\n", error.what());
  return 1;
}

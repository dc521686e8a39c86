#include "scores.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace {

float dot(const float* a, const float* b, std::int64_t n) {
  constexpr int lanes = 16;  // separate sums, which fit vector registers
  float sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int lane = 0; lane < lanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return std::accumulate(std::begin(sums), std::end(sums), 0.0F);
}

}  // namespace

void score(const Matrix& queries, std::span<const float> vectors, const Matrix& scores) {
  constexpr std::int64_t block = 64;  // words that stay in the cache while all queries meet them
  const std::int64_t width = queries.columns();
  for (std::int64_t begin = 0; begin < scores.columns(); begin += block)
    for (std::int64_t q = 0; q < queries.rows(); ++q)
      for (std::int64_t w = begin; w < std::min(begin + block, scores.columns()); ++w)
        scores.row(q)[w] = dot(queries.row(q), &vectors[w * width], width);
}

std::vector<std::int64_t> nearest(const Vocabulary& vocabulary,
                                  std::int64_t self,
                                  const float* scores,
                                  std::ptrdiff_t at_most) {
  std::vector<std::int64_t> words;
  for (std::int64_t id = 0; id < vocabulary.size(); ++id)
    if (id != self && vocabulary.is_word(id)) words.push_back(id);
  const auto count = std::min(at_most, std::ssize(words));
  std::ranges::partial_sort(
      words, words.begin() + count, std::greater{}, [&](std::int64_t id) { return scores[id]; });
  words.resize(count);
  return words;
}

/// @file
/// How near words are to each other.
#pragma once

#include "matrix.h"
#include "words.h"

#include <cstdint>
#include <span>
#include <vector>

/// scores[q, w] = the cosine of the angle between query q's vector and vector w.
void score(const Matrix& queries, std::span<const float> vectors, const Matrix& scores);

/// The ids of the words with the highest scores, the best first, but the word `self`.
/// @param scores of every word of the vocabulary
std::vector<std::int64_t> nearest(const Vocabulary& vocabulary,
                                  std::int64_t self,
                                  const float* scores,
                                  std::ptrdiff_t at_most);

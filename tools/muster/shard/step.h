// How one node works on a section instead of the whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace muster::tool {

// A tensor of which each rank has a section.
struct Layout {
  int dim = -1;  // which dimension is split, counted from the end, as broadcasting aligns tensors
  std::int64_t extent = 0;        // of the whole, in that dimension
  std::optional<int> dimensions;  // how many there are, where that is known
};

using Layouts = std::unordered_map<std::string, Layout>;

// One of a node's inputs is a constant, of which each rank needs its section alone.
struct Slice {
  int input = 0;  // index
  int dim = 0;    // of the constant, counted from the front
};

// A node in its split form: what becomes of its inputs, and what its first output is.
struct Step {
  Layout output;
  std::vector<Slice> slices;
  bool begins = false;  // it takes its tensors whole; otherwise those that are split as sections
};

// The sections of an extent: as equal as can be, the sum is the extent.
class Sections {
 public:
  Sections(std::int64_t extent, int ranks) : extent_(extent), ranks_(ranks) {}

  // First index of a rank's section; begin(ranks) is the extent.
  std::int64_t begin(int rank) const {
    return extent_ / ranks_ * rank + extent_ % ranks_ * rank / ranks_;
  }
  std::int64_t size(int rank) const { return begin(rank + 1) - begin(rank); }
  bool equal() const { return extent_ % ranks_ == 0; }

  std::vector<std::int64_t> sizes() const {
    std::vector<std::int64_t> all;
    for (int rank = 0; rank < ranks_; ++rank) all.push_back(size(rank));
    return all;
  }

 private:
  std::int64_t extent_;
  int ranks_;
};

}  // namespace muster::tool

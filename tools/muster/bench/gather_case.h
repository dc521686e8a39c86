// One gather to measure: shapes, a type and a dimension.
#pragma once

#include <muster/plan.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace muster::tool {

struct GatherCase {
  // `shard` is the shape of every rank's shard; `sizes`, unless empty, gives the extent along the
  // dimension rank by rank instead. Throws muster::Error as GatherPlan does, Failure for a number
  // of sizes that is not the number of ranks.
  GatherCase(const Shape& shard,
             const std::vector<std::int64_t>& sizes,
             DataType type,
             int gather_dim,
             int ranks);

  DataType dtype;
  std::vector<Shape> shards;  // by rank
  GatherPlan plan;

  bool equal() const;
  int ranks() const { return plan.members(); }
  std::size_t shard_bytes(int rank) const { return plan.outer() * plan.row_bytes(rank); }
  // The mean over ranks: what equal sections of the same output would have.
  std::size_t bytes_per_rank() const {
    return plan.output_bytes() / static_cast<std::size_t>(ranks());
  }
  // "[8, 64128]", or "[8, 30|34]" for unequal sections (of the first ranks, if many).
  std::string shape_text() const;
};

// Sizes from 1 KiB to 256 MiB a rank; dimension 0 and inner ones with long and short rows; equal
// and unequal sections.
std::vector<GatherCase> default_sweep(DataType dtype, int ranks);

}  // namespace muster::tool

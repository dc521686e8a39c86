#include "bench/gather_case.h"

#include "exit_status.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace muster::tool {
namespace {

std::vector<Shape> shard_shapes(const Shape& shard,
                                const std::vector<std::int64_t>& sizes,
                                int gather_dim,
                                int ranks) {
  std::vector<Shape> shapes(static_cast<std::size_t>(ranks), shard);
  if (sizes.empty()) return shapes;
  if (sizes.size() != shapes.size()) {
    throw Failure(fmt::format("--sizes gives {} extents for {} ranks", sizes.size(), ranks));
  }
  for (std::size_t rank = 0; rank < shapes.size(); ++rank) {
    shapes[rank] = shard.with(gather_dim, sizes[rank]);
  }
  return shapes;
}

// Every second rank has an eighth more than its neighbour.
std::vector<std::int64_t> uneven(std::int64_t extent, int ranks) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(ranks), extent);
  for (std::size_t rank = 0; rank + 1 < sizes.size(); rank += 2) {
    sizes[rank] -= extent / 16;
    sizes[rank + 1] += extent / 16;
  }
  return sizes;
}

}  // namespace

GatherCase::GatherCase(const Shape& shard,
                       const std::vector<std::int64_t>& sizes,
                       DataType type,
                       int gather_dim,
                       int ranks)
    : dtype(type),
      shards(shard_shapes(shard, sizes, gather_dim, ranks)),
      plan(shards, type, gather_dim) {}

bool GatherCase::equal() const {
  return std::all_of(shards.begin(), shards.end(), [&](const Shape& s) { return s == shards[0]; });
}

std::string GatherCase::shape_text() const {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shards[0].extents()) extents.push_back(fmt::to_string(extent));
  if (!equal()) {
    const int dim = plan.gather_dim();
    std::vector<std::string> along;
    for (const Shape& shard : shards) along.push_back(fmt::to_string(shard[dim]));
    if (along.size() > 3) {
      along.resize(2);
      along.emplace_back("..");
    }
    extents[static_cast<std::size_t>(dim)] = fmt::format("{}", fmt::join(along, "|"));
  }
  return fmt::format("[{}]", fmt::join(extents, ", "));
}

std::vector<GatherCase> default_sweep(DataType dtype, int ranks) {
  constexpr std::int64_t KiB = 1 << 10, MiB = 1 << 20;
  std::vector<GatherCase> cases;
  const auto add = [&](const Shape& shard, int gather_dim) {
    cases.emplace_back(shard, std::vector<std::int64_t>{}, dtype, gather_dim, ranks);
    if (ranks > 1) {
      cases.emplace_back(shard, uneven(shard[gather_dim], ranks), dtype, gather_dim, ranks);
    }
  };
  for (const std::int64_t bytes :
       {KiB, 8 * KiB, 64 * KiB, 512 * KiB, MiB, 4 * MiB, 32 * MiB, 256 * MiB}) {
    const std::int64_t elements = bytes * 8 / bits(dtype);
    add(Shape{elements}, 0);
    add(Shape{8, elements / 8}, 1);
    const std::int64_t row = 8 * KiB * 8 / bits(dtype);
    if (elements / row > 8) add(Shape{elements / row, row}, 1);
  }
  return cases;
}

}  // namespace muster::tool

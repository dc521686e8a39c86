// Random gathers. rapidcheck makes a failing one smaller.
#include "conformance/gather.h"

#include <algorithm>
#include <numeric>

namespace muster::test {
namespace {

using rc::gen::element;
using rc::gen::inRange;
using rc::gen::weightedElement;

Layout any_layout() {
  // Rows and data at odd places, but often none.
  return {*weightedElement<std::size_t>({{4, 0}, {1, 1}, {1, 4}, {1, 13}, {1, 63}}),
          *weightedElement<std::size_t>({{4, 0}, {1, 1}, {1, 16}, {1, 61}})};
}

Part any_part(std::int64_t extent, bool whole_buffers) {
  Part part;
  part.extent = extent;
  part.call = *element(Call::all_gather, Call::aliased, Call::in_place, Call::in_place_section);
  part.from_the_end = *rc::gen::arbitrary<bool>();
  part.shard_place = *element(Place::ordinary, Place::buffer);
  part.full_place = whole_buffers ? Place::buffer : *element(Place::ordinary, Place::buffer);
  part.shard_layout = any_layout();
  part.full_layout = any_layout();
  return part;
}

// At most about `budget` elements; now and then none.
std::vector<std::int64_t> any_shape(std::int64_t budget) {
  std::vector<std::int64_t> shape;
  const int dimensions = *inRange(1, Shape::max_dimensions + 1);
  for (int d = 0; d < dimensions; ++d) {
    const bool empty = *weightedElement<bool>({{40, false}, {1, true}});
    const std::int64_t extent = *inRange<std::int64_t>(1, std::min<std::int64_t>(budget, 40) + 1);
    shape.push_back(empty ? 0 : extent);
    budget = std::max<std::int64_t>(budget / extent, 1);
  }
  return shape;
}

// All equal, or each on its own, many empty.
std::vector<std::int64_t> any_extents(int members) {
  const auto any_extent = weightedElement<std::int64_t>({{2, 0}, {4, 1}, {4, 2}, {2, 3}, {1, 17}});
  if (*rc::gen::arbitrary<bool>()) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(members), *any_extent);
  }
  return *rc::gen::container<std::vector<std::int64_t>>(static_cast<std::size_t>(members),
                                                        any_extent);
}

std::vector<int> any_group(int world_size) {
  std::vector<int> ranks(static_cast<std::size_t>(world_size));
  std::iota(ranks.begin(), ranks.end(), 0);
  for (std::size_t i = ranks.size(); i > 1; --i) {
    std::swap(ranks[i - 1], ranks[*inRange<std::size_t>(0, i)]);
  }
  // Half the time of all ranks.
  const std::size_t members = *inRange<std::size_t>(1, 2 * ranks.size() + 1);
  ranks.resize(std::min(members, ranks.size()));
  return ranks;
}

}  // namespace

rc::Gen<Gather> any_gather(int members) {
  return rc::gen::withSize([members](int size) {
    return rc::gen::exec([=] {
      Gather gather;
      gather.dtype = *rc::gen::elementOf(all_dtypes());
      gather.shape = any_shape(1 + size * size * 4 / members);
      gather.axis = *inRange<std::size_t>(0, gather.shape.size());
      // Rows of 4-bit elements are whole bytes when the innermost extent is even.
      const std::int64_t unit = gather.axis + 1 == gather.shape.size() ? 2 : 1;
      if (unit == 1) gather.shape.back() *= 2;
      const bool whole_buffers = *rc::gen::arbitrary<bool>();
      for (const std::int64_t extent : any_extents(members)) {
        gather.parts.push_back(any_part(extent * unit, whole_buffers));
      }
      gather.seed = *rc::gen::arbitrary<std::uint32_t>();
      return gather;
    });
  });
}

rc::Gen<Series> any_series(int world_size) {
  return rc::gen::exec([=] {
    Series series;
    series.group = any_group(world_size);
    series.gathers = *rc::gen::nonEmpty(
        rc::gen::scale(0.06,
                       rc::gen::container<std::vector<Gather>>(rc::gen::scale(
                           16.0, any_gather(static_cast<int>(series.group.size()))))));
    return series;
  });
}

}  // namespace muster::test

// One gather with all that may vary about it, and how to make it and check its result.
#pragma once

#include "conformance/tensor.h"
#include "conformance/transport.h"

#include <rapidcheck.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <iosfwd>
#include <vector>

namespace muster::test {

enum class Call {
  all_gather,        // from a shard apart
  aliased,           // all_gather from the section's place in the output
  in_place,          // all_gather_in_place
  in_place_section,  // all_gather_in_place, saying where the section is
};

// What one member does in a gather.
struct Part {
  std::int64_t extent = 0;
  Call call = Call::all_gather;
  bool from_the_end = false;  // counts the dimension as a negative number
  Place shard_place = Place::ordinary;
  Place full_place = Place::ordinary;
  Layout shard_layout;
  Layout full_layout;
};

struct Gather {
  DataType dtype = DataType::uint8;
  std::vector<std::int64_t> shape;  // of a shard; parts[i].extent in the axis
  std::size_t axis = 0;
  std::vector<Part> parts;
  std::uint64_t seed = 0;  // of the data

  bool equal_sections() const;
};

// Gathers in a row on one communicator.
struct Series {
  std::vector<int> group;
  std::vector<Gather> gathers;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Layout, shift, padding)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(
    Part, extent, call, from_the_end, shard_place, full_place, shard_layout, full_layout)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Gather, dtype, shape, axis, parts, seed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Series, group, gathers)

void showValue(const Series& series, std::ostream& stream);  // what rapidcheck prints

rc::Gen<Gather> any_gather(int members);
rc::Gen<Series> any_series(int world_size);

// A gather of equal sections of `bytes` bytes in `rows` rows, all members alike.
Gather plain_gather(int members, std::int64_t rows, std::int64_t row_bytes, Part part = {});

// Takes part as `communicator`'s member; throws unless the output is right, byte for byte, and no
// other byte has changed.
void gather_and_check(const Rank& rank, Communicator& communicator, const Gather& gather);

}  // namespace muster::test

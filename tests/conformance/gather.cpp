#include "conformance/gather.h"

#include <algorithm>
#include <optional>
#include <ostream>
#include <string>

namespace muster::test {
namespace {

std::vector<Array> shards_of(const Gather& gather) {
  std::vector<Array> shards;
  std::vector<std::int64_t> shape = gather.shape;
  for (const Part& part : gather.parts) {
    shape[gather.axis] = part.extent;
    shards.push_back(random_array(gather.dtype, shape, gather.seed + shards.size()));
  }
  return shards;
}

int dimension(const Gather& gather, const Part& part) {
  const int axis = static_cast<int>(gather.axis);
  return part.from_the_end ? axis - static_cast<int>(gather.shape.size()) : axis;
}

// The call of a member whose section is already in its place in `full`.
void call_in_place(const Rank& rank,
                   Communicator& communicator,
                   const Gather& gather,
                   const Part& part,
                   const GuardedTensor& full,
                   std::int64_t offset) {
  const int dim = dimension(gather, part);
  const Stream stream = rank.memory.stream();
  if (part.call == Call::aliased) {
    communicator.all_gather(full.section(offset, part.extent), full.view(), dim, stream);
  } else if (part.call == Call::in_place && gather.equal_sections()) {
    communicator.all_gather_in_place(full.view(), dim, std::nullopt, stream);
  } else {
    communicator.all_gather_in_place(full.view(), dim, Section{offset, part.extent}, stream);
  }
}

}  // namespace

bool Gather::equal_sections() const {
  return std::ranges::all_of(parts, [&](const Part& p) { return p.extent == parts[0].extent; });
}

void showValue(const Series& series, std::ostream& stream) {
  stream << nlohmann::json(series);
}

Gather plain_gather(int members, std::int64_t rows, std::int64_t row_bytes, Part part) {
  // Wide elements where they fit: the reference copies one at a time.
  const bool wide = row_bytes % 16 == 0;
  part.extent = wide ? row_bytes / 16 : row_bytes;
  return {wide ? DataType::complex128 : DataType::uint8,
          {rows, part.extent},
          1,
          std::vector<Part>(static_cast<std::size_t>(members), part),
          static_cast<std::uint64_t>(rows * 31 + row_bytes)};
}

void gather_and_check(const Rank& rank, Communicator& communicator, const Gather& gather) {
  const auto me = static_cast<std::size_t>(communicator.position());
  const Part& part = gather.parts[me];
  const std::vector<Array> shards = shards_of(gather);
  const Array expected = concatenate(shards, gather.axis);
  GuardedTensor full(
      rank, part.full_place, gather.dtype, expected.shape, gather.axis, part.full_layout);

  if (part.call == Call::all_gather) {
    GuardedTensor shard(
        rank, part.shard_place, gather.dtype, shards[me].shape, gather.axis, part.shard_layout);
    shard.write(shards[me]);
    communicator.all_gather(
        shard.view(), full.view(), dimension(gather, part), rank.memory.stream());
    rank.memory.finish(communicator);
    shard.expect_unchanged("shard");
  } else {
    std::int64_t offset = 0;
    for (std::size_t before = 0; before < me; ++before) offset += gather.parts[before].extent;
    full.write(shards[me], offset);
    call_in_place(rank, communicator, gather, part, full, offset);
    rank.memory.finish(communicator);
  }
  full.expect(expected, "output");
}

}  // namespace muster::test

// The result of a gather, whatever is gathered and wherever it lies.
#include "conformance/gather.h"
#include "conformance/suite.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <vector>

namespace muster::test {
namespace {

Communicator whole_world(const Rank& rank, const std::string& tag = "world") {
  return Communicator(rank.world, Group::range(rank.world.size()), rank.options(tag));
}

std::size_t position_of(const Rank& rank) {
  return static_cast<std::size_t>(rank.world.rank());
}

// Where all members' tensors lie; `member` serves to mix.
struct Placement {
  const char* name;
  Place (*shard)(std::size_t member);
  Place (*full)(std::size_t member);
};

Place ordinary(std::size_t) {
  return Place::ordinary;
}
Place buffer(std::size_t) {
  return Place::buffer;
}
Place even_in_buffer(std::size_t member) {
  return member % 2 ? Place::ordinary : Place::buffer;
}
Place third_in_buffer(std::size_t member) {
  return member % 3 ? Place::ordinary : Place::buffer;
}

constexpr std::array placements{
    Placement{"push", ordinary, buffer},
    Placement{"pull", buffer, ordinary},
    Placement{"staged", ordinary, ordinary},
    Placement{"mixed", third_in_buffer, even_in_buffer},
};

void place(Gather& gather, const Placement& placement) {
  for (std::size_t i = 0; i < gather.parts.size(); ++i) {
    gather.parts[i].shard_place = placement.shard(i);
    gather.parts[i].full_place = placement.full(i);
  }
}

CONFORMANCE_TEST(GathersEveryDtypeAlongEveryDimension) {
  Communicator communicator = whole_world(rank);
  for (const DataType dtype : all_dtypes()) {
    for (std::size_t axis = 0; axis < 4; ++axis) {
      Gather gather{dtype, {2, 3, 2, 2}, axis, {}, axis};
      for (int member = 0; member < rank.world.size(); ++member) {
        Part part;
        part.extent = gather.shape[axis];
        part.from_the_end = (member + static_cast<int>(axis)) % 2 == 0;
        gather.parts.push_back(part);
      }
      place(gather, placements[axis]);
      gather_and_check(rank, communicator, gather);
    }
  }
}

CONFORMANCE_TEST(GathersUnequalAndEmptySections) {
  Communicator communicator = whole_world(rank);
  const auto size = static_cast<std::size_t>(rank.world.size());
  for (std::size_t round = 0; round < 12; ++round) {
    Gather gather{DataType::int16, {3, 0, 5}, 1, std::vector<Part>(size), round};
    for (std::size_t i = 0; i < size; ++i) {
      gather.parts[i].extent = static_cast<std::int64_t>((i * 7 + round) % 4);
    }
    if (round % 3 == 1) std::ranges::for_each(gather.parts, [](Part& part) { part.extent = 0; });
    if (round % 3 == 2) gather.parts[round % size].extent = 1000;
    place(gather, placements[round % placements.size()]);
    gather_and_check(rank, communicator, gather);
  }
}

CONFORMANCE_TEST(GathersTensorsWithoutAByte) {
  Communicator communicator = whole_world(rank);
  for (const std::size_t axis : {0, 1, 2}) {
    for (const std::vector<std::int64_t>& shape :
         {std::vector<std::int64_t>{0, 2, 3}, {2, 0, 3}, {2, 3, 0}, {0, 0, 0}}) {
      Part part;
      part.extent = shape[axis];
      const std::vector<Part> parts(static_cast<std::size_t>(rank.world.size()), part);
      gather_and_check(rank, communicator, {DataType::float32, shape, axis, parts, 1});
    }
  }
}

CONFORMANCE_TEST(GathersFromEveryKindOfCallAndTheirMixtures) {
  Communicator communicator = whole_world(rank);
  const auto size = static_cast<std::size_t>(rank.world.size());
  for (const Placement& placement : placements) {
    for (const std::int64_t rows : {1, 5}) {
      for (std::size_t kind = 0; kind < 5; ++kind) {
        Gather gather = plain_gather(static_cast<int>(size), rows, 48);
        place(gather, placement);
        for (std::size_t i = 0; i < size; ++i) {
          gather.parts[i].call = static_cast<Call>(kind < 4 ? kind : i % 4);
        }
        gather_and_check(rank, communicator, gather);
        // Members of kind in_place name their sections now.
        gather.parts.back().extent = 9;
        gather_and_check(rank, communicator, gather);
      }
    }
  }
}

CONFORMANCE_TEST(GathersAroundEveryThresholdOfSize) {
  Communicator communicator = whole_world(rank);
  for (const Placement& placement : placements) {
    for (const std::int64_t size :
         {0,   1,   3,   31,  32,   33,   63,   64,   65,   127,  128,  129,  255,  256,  257,
          511, 512, 513, 960, 1024, 1025, 2047, 2048, 2049, 4080, 4096, 4097, 8191, 8192, 8193}) {
      for (const std::int64_t rows : {1, 4}) {
        if (size * rows * rank.world.size() > 1 << 16) continue;
        Gather gather = plain_gather(rank.world.size(), rows, size);
        place(gather, placement);
        gather_and_check(rank, communicator, gather);
      }
    }
  }
}

CONFORMANCE_TEST(GathersMoreThanTheStagingAreaHolds) {
  Communicator communicator = whole_world(rank);
  // The reference's time limits what many ranks can look at.
  const std::int64_t most = std::int64_t{20} << 20;
  for (const std::int64_t size : {2 << 20, (2 << 20) + 16, 5 << 20}) {
    for (const Placement& placement : placements) {
      const std::int64_t fitting = std::min(size, most / rank.world.size() / 8 / 16 * 16 + 16);
      Gather gather = plain_gather(rank.world.size(), 3, fitting / 48 * 16 + 16);
      place(gather, placement);
      gather_and_check(rank, communicator, gather);
    }
  }
}

CONFORMANCE_TEST(GathersDataAtAnyAlignment) {
  Communicator communicator = whole_world(rank);
  for (std::size_t shift = 0; shift < 64; shift += 3) {
    Gather gather = plain_gather(rank.world.size(), 3, 200 + static_cast<std::int64_t>(shift));
    place(gather, placements[shift % placements.size()]);
    for (std::size_t i = 0; i < gather.parts.size(); ++i) {
      gather.parts[i].shard_layout = {shift, 0};
      gather.parts[i].full_layout = {(shift * 5 + i) % 64, 0};
    }
    gather_and_check(rank, communicator, gather);
  }
}

CONFORMANCE_TEST(GathersViewsIntoWiderTensors) {
  Communicator communicator = whole_world(rank);
  for (const Placement& placement : placements) {
    for (const std::int64_t row_bytes : {3, 64, 1000, 3000}) {
      if (row_bytes * rank.world.size() > 1 << 15) continue;
      Gather gather = plain_gather(rank.world.size(), 5, row_bytes);
      place(gather, placement);
      for (std::size_t i = 0; i < gather.parts.size(); ++i) {
        gather.parts[i].call = static_cast<Call>(i % 4);
        gather.parts[i].shard_layout.padding = i % 2 ? 7 : 64;
        gather.parts[i].full_layout.padding = 16 * (i % 3);
      }
      gather_and_check(rank, communicator, gather);
    }
  }
}

CONFORMANCE_TEST(GathersAThousandTimesInARow) {
  Communicator communicator = whole_world(rank);
  const int rounds = rank.world.size() > 8 ? 100 : 1000;
  for (int round = 0; round < rounds; ++round) {
    Gather gather =
        plain_gather(rank.world.size(), 1 + round % 3, std::int64_t{16} * (round * 7 % 23));
    gather.seed = static_cast<std::uint64_t>(round);
    place(gather, placements[static_cast<std::size_t>(round) % placements.size()]);
    gather_and_check(rank, communicator, gather);
  }
}

CONFORMANCE_TEST(DeliversEveryCallOfARowIntoTheSameOutput) {
  Communicator communicator = whole_world(rank);
  // The shard changes as soon as a call returns, so whoever is late would read the next one.
  for (const Placement& placement : placements) {
    const auto me = static_cast<std::size_t>(rank.world.rank());
    const std::size_t row = 4096;
    const std::size_t size = row * static_cast<std::size_t>(rank.world.size());
    const Block shard = rank.memory.allocate(rank.world, placement.shard(me), row);
    const Block full = rank.memory.allocate(rank.world, placement.full(me), size);
    std::vector<std::byte> seen(size);
    for (int round = 0; round < (rank.world.size() > 8 ? 30 : 300); ++round) {
      const std::vector<std::byte> mine(row, std::byte(round + rank.world.rank()));
      rank.memory.copy(shard.data, mine.data(), mine.size());
      communicator.all_gather({shard.data, DataType::uint8, Shape{std::int64_t{row}}},
                              {full.data, DataType::uint8, Shape{static_cast<std::int64_t>(size)}},
                              0,
                              rank.memory.stream());
      rank.memory.finish(communicator);
      rank.memory.copy(seen.data(), full.data, size);
      for (int r = 0; r < rank.world.size(); ++r) {
        const std::vector<std::byte> due(row, std::byte(round + r));
        const auto section = seen.begin() + static_cast<std::ptrdiff_t>(row) * r;
        require(std::equal(due.begin(), due.end(), section),
                std::string(placement.name) + ": rank " + std::to_string(r) +
                    "'s section is wrong in round " + std::to_string(round));
      }
    }
  }
}

CONFORMANCE_TEST(NoticesWhenOneMemberAloneChangesItsTensors) {
  Communicator communicator = whole_world(rank);
  const auto size = static_cast<std::size_t>(rank.world.size());
  const Block shard = rank.memory.allocate(rank.world, Place::ordinary, 600);
  const std::array<Block, 3> outputs{rank.memory.allocate(rank.world, Place::buffer, 600 * size),
                                     rank.memory.allocate(rank.world, Place::ordinary, 600 * size),
                                     rank.memory.allocate(rank.world, Place::buffer, 600 * size)};
  std::vector<std::byte> seen(600 * size);
  for (std::size_t round = 0; round < std::min<std::size_t>(5 * size, 24); ++round) {
    // One member after the other takes its next output, the others repeat their call.
    const std::size_t turns = round / size + (round % size >= position_of(rank) ? 1 : 0);
    const Block& output = outputs[turns % outputs.size()];
    const std::vector<std::byte> mine(600, std::byte(round + position_of(rank)));
    rank.memory.copy(shard.data, mine.data(), mine.size());
    communicator.all_gather(
        {shard.data, DataType::uint8, Shape{600}},
        {output.data, DataType::uint8, Shape{static_cast<std::int64_t>(600 * size)}},
        0,
        rank.memory.stream());
    rank.memory.finish(communicator);
    rank.memory.copy(seen.data(), output.data, seen.size());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      require(seen[i] == std::byte(round + i / 600),
              "byte " + std::to_string(i) + " is wrong in round " + std::to_string(round));
    }
  }
}

// What others trade moves a section whose own member repeats its call.
CONFORMANCE_TEST(FollowsMembersThatTradeTheirExtents) {
  Communicator communicator = whole_world(rank);
  const auto size = static_cast<std::size_t>(rank.world.size());
  constexpr std::int64_t rows = 8;
  std::vector<std::int64_t> extents(size, 24);
  extents.front() = 8;
  extents.back() = 40;
  const std::int64_t whole = std::accumulate(extents.begin(), extents.end(), std::int64_t{0});
  const Block shard = rank.memory.allocate(rank.world, Place::ordinary, rows * 40);
  const Block full =
      rank.memory.allocate(rank.world, Place::buffer, static_cast<std::size_t>(rows * whole));
  std::vector<std::byte> seen(static_cast<std::size_t>(rows * whole));
  for (std::size_t round = 0; round < 40; ++round) {
    if (round % 3 == 2) std::swap(extents.front(), extents.back());
    const std::vector<std::byte> mine(rows * 40, std::byte(round + position_of(rank)));
    rank.memory.copy(shard.data, mine.data(), mine.size());
    communicator.all_gather({shard.data, DataType::uint8, Shape{rows, extents[position_of(rank)]}},
                            {full.data, DataType::uint8, Shape{rows, whole}},
                            1,
                            rank.memory.stream());
    rank.memory.finish(communicator);
    rank.memory.copy(seen.data(), full.data, seen.size());
    auto at = seen.begin();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::size_t i = 0; i < size; ++i) {
        const auto is_right = [&](std::byte byte) { return byte == std::byte(round + i); };
        require(
            std::all_of(at, at + extents[i], is_right),
            "the section of member " + std::to_string(i) + " in round " + std::to_string(round));
        at += extents[i];
      }
    }
  }
}

CONFORMANCE_TEST(GathersAfterBuffersAreDestroyedAndMadeAnew) {
  Communicator communicator = whole_world(rank);
  std::vector<Buffer> kept;
  for (int round = 0; round < 30; ++round) {
    Gather gather = plain_gather(rank.world.size(), 2, std::int64_t{16} * (1 + round * 37 % 301));
    place(gather, placements[static_cast<std::size_t>(round) % 2]);  // push and pull
    gather_and_check(rank, communicator, gather);
    kept.push_back(rank.world.allocate(static_cast<std::size_t>(1000 * (round % 5))));
    if (round % 4 == 3) kept.erase(kept.begin(), kept.begin() + 3);
  }
}

}  // namespace
}  // namespace muster::test

// What a world does besides gathers.
#include "conformance/suite.h"
#include "support/array.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace muster::test {
namespace {

std::vector<std::byte> blob_of(int rank, std::size_t round) {
  static constexpr std::array<std::size_t, 5> sizes{0, 1, 100, 5000, 70000};
  const auto r = static_cast<std::size_t>(rank);
  return random_bytes(sizes[(r + round) % sizes.size()], r * 100 + round);
}

CONFORMANCE_TEST(ExchangesBlobsOfAnySize) {
  const Group everyone = Group::range(rank.world.size());
  for (std::size_t round = 0; round < 10; ++round) {
    const auto blobs = rank.world.exchange(everyone, blob_of(rank.world.rank(), round));
    require(blobs.size() == static_cast<std::size_t>(everyone.size()), "another number of blobs");
    for (int r = 0; r < everyone.size(); ++r) {
      require(blobs[static_cast<std::size_t>(r)] == blob_of(r, round),
              "rank " + std::to_string(r) + "'s blob is wrong in round " + std::to_string(round));
    }
  }
}

CONFORMANCE_TEST(ExchangesBlobsInTheOrderOfAnyGroup) {
  const int me = rank.world.rank();
  for (int partner = 0; partner < rank.world.size(); ++partner) {
    if (partner == me) continue;
    const Group group{std::max(me, partner), std::min(me, partner)};
    const auto blobs = rank.world.exchange(group, blob_of(me, 2));
    require(
        blobs.size() == 2 && blobs[0] == blob_of(group[0], 2) && blobs[1] == blob_of(group[1], 2),
        "wrong blobs of group " + group.to_string());
  }
}

CONFORMANCE_TEST(FindsAllAliveWhenNobodyHasDied) {
  std::vector<int> ranks;
  for (int r = rank.world.size(); r-- > 0;) ranks.push_back(r);
  for (int round = 0; round < 3; ++round) {
    require(rank.world.survivors(Group(ranks)) == Group(ranks), "someone is missing");
  }
}

CONFORMANCE_TEST(AllocatesMemoryOfAnySize) {
  require(rank.world.allocate(0).size() == 0, "0 bytes have another size");
  std::vector<Buffer> buffers;
  for (const std::size_t size : {1, 127, 128, 129, 4095, 4096, 4097, 1 << 20}) {
    Buffer buffer = rank.world.allocate(size);
    require(buffer.size() == size, "another size");
    require(reinterpret_cast<std::uintptr_t>(buffer.data()) % 128 == 0, "not aligned");
    std::ranges::fill(buffer.bytes(), std::byte(buffers.size()));
    buffers.push_back(std::move(buffer));
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto is_mine = [&](std::byte byte) { return byte == std::byte(i); };
    require(std::ranges::all_of(buffers[i].bytes(), is_mine), "buffers overlap");
  }
}

CONFORMANCE_TEST(GivesMemoryOutAgain) {
  if (rank.world.size() > 4) return;  // 64 arenas at work at once would tell nothing more
  for (int round = 0; round < 20; ++round) {
    Buffer buffer = rank.world.allocate(std::size_t{48} << 20);
    buffer.data()[0] = std::byte{1};
  }
}

CONFORMANCE_TEST(RefusesMoreMemoryThanThereIsAndGoesOn) {
  for (const std::size_t size : {std::size_t{1} << 60,
                                 std::numeric_limits<std::size_t>::max(),
                                 std::numeric_limits<std::size_t>::max() - 127}) {
    require_error(ErrorCode::out_of_memory, "too much memory", [&] { rank.world.allocate(size); });
  }
  require(rank.world.allocate(1000).size() == 1000, "no memory after a refusal");
}

CONFORMANCE_TEST(RefusesGroupsThatTheRankOrTheWorldIsNotIn) {
  World& world = rank.world;
  const Group outside{world.rank(), world.size()};
  require_error(ErrorCode::invalid_argument, "exchange", [&] { world.exchange(outside, {}); });
  require_error(ErrorCode::invalid_argument, "survivors", [&] { world.survivors(outside); });
  require_error(ErrorCode::invalid_argument, "communicator", [&] {
    Communicator communicator(world, outside, rank.options("outside"));
  });
  if (world.size() == 1) return;
  const Group others{(world.rank() + 1) % world.size()};
  require_error(ErrorCode::invalid_argument, "exchange", [&] { world.exchange(others, {}); });
  require_error(ErrorCode::invalid_argument, "survivors", [&] { world.survivors(others); });
  require_error(ErrorCode::invalid_argument, "communicator", [&] {
    Communicator communicator(world, others, rank.options("others"));
  });
}

CONFORMANCE_TEST(RefusesABlobThatIsTooLongBeforeItLooksAtIt) {
  const std::byte first{};
  const std::span too_long(&first, World::longest_blob + 1);
  require_error(ErrorCode::invalid_argument, "exchange", [&] {
    rank.world.exchange(Group::range(rank.world.size()), too_long);
  });
}

CONFORMANCE_TEST(NamesWhoDoesNotExchange) {
  const int size = rank.world.size();
  if (size == 1) return;
  const int absent = size / 2;
  if (rank.world.rank() != absent) {
    const Error error = require_error(ErrorCode::timeout, "exchange", [&] {
      rank.world.exchange(Group::range(size), {}, std::chrono::milliseconds(300));
    });
    require_peer(error, absent);
  } else {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  }
}

}  // namespace
}  // namespace muster::test

// Groups of every kind, and many communicators side by side.
#include "conformance/gather.h"
#include "conformance/suite.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace muster::test {
namespace {

std::vector<int> world_ranks(const Rank& rank) {
  std::vector<int> ranks(static_cast<std::size_t>(rank.world.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

// Made where this rank is a member.
std::optional<Communicator> join_group(const Rank& rank, const Group& group, std::string tag) {
  if (!group.position(rank.world.rank())) return std::nullopt;
  return Communicator(rank.world, group, rank.options(std::move(tag)));
}

// A gather whose data tells apart communicators and members.
Gather told_apart(const Communicator& communicator, std::size_t seed) {
  Gather gather = plain_gather(communicator.group().size(), 2, 33);
  gather.seed = 1000 * seed;
  for (std::size_t i = 0; i < gather.parts.size(); ++i) {
    gather.parts[i].full_place = (seed + i) % 2 ? Place::ordinary : Place::buffer;
  }
  return gather;
}

// Group number k of a row that all ranks know: one to four random ranks in random order.
Group random_group(const Rank& rank, std::size_t k) {
  std::vector<int> ranks = world_ranks(rank);
  std::mt19937_64 random(k);
  std::ranges::shuffle(ranks, random);
  ranks.resize(std::min(ranks.size(), 1 + k % 4));
  return Group(ranks);
}

CONFORMANCE_TEST(GathersInTheOrderOfTheGroup) {
  std::vector<int> ranks = world_ranks(rank);
  for (std::uint64_t order = 0; order < 4; ++order) {
    Communicator communicator(
        rank.world, Group(ranks), rank.options("order " + std::to_string(order)));
    gather_and_check(rank, communicator, told_apart(communicator, order));
    std::ranges::reverse(ranks);
    std::mt19937_64 random(order);
    if (order > 0) std::ranges::shuffle(ranks, random);
  }
}

CONFORMANCE_TEST(GathersInGroupsThatShareRanks) {
  // Two rows of a ring, the even ranks, and everyone, all alive at once.
  const int size = rank.world.size();
  const int me = rank.world.rank();
  std::vector<int> evens;
  for (int r = 0; r < size; r += 2) evens.push_back(r);

  std::vector<Communicator> mine;
  const auto add = [&](const Group& group, const std::string& tag) {
    if (auto communicator = join_group(rank, group, tag)) mine.push_back(std::move(*communicator));
  };
  add(Group::range(size), "all");
  add(Group(evens), "evens");
  for (int r = 0; r + 1 < size; ++r) {
    add(Group{r, r + 1}, "forth " + std::to_string(r));
    add(Group{r + 1, r}, "back " + std::to_string(r));
  }
  add(Group{me}, "alone");

  for (std::size_t round = 0; round < 3; ++round) {
    for (Communicator& communicator : mine) {
      gather_and_check(rank, communicator, told_apart(communicator, round));
    }
  }
}

// All groups' members make their communicators in the same order, each stream of them on a thread
// of its own, so that ranks interleave them in whatever way.
CONFORMANCE_TEST(KeepsAThousandCommunicatorsApartByTheirTags) {
  const auto total = static_cast<std::size_t>(rank.memory.communicators(1000));
  const auto streams = static_cast<std::size_t>(
      rank.memory.threads_at_once(rank.world.size(), rank.world.size() > 8 ? 2 : 8));
  std::vector<std::string> failures(streams);
  std::vector<std::vector<std::pair<std::size_t, Communicator>>> made(streams);

  const auto make_and_gather = [&](std::size_t stream) {
    for (std::size_t k = stream; k < total; k += streams) {
      auto communicator = join_group(rank, random_group(rank, k / streams), std::to_string(k));
      if (communicator) made[stream].emplace_back(k, std::move(*communicator));
    }
    for (auto& [k, communicator] : made[stream]) {
      gather_and_check(rank, communicator, told_apart(communicator, k));
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t stream = 0; stream < streams; ++stream) {
    threads.emplace_back([&, stream] {
      try {
        make_and_gather(stream);
      } catch (const std::exception& error) {
        failures[stream] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures) require(failure.empty(), failure);
}

CONFORMANCE_TEST(LetsThreadsOfARankGatherAtTheSameTime) {
  const auto threads_a_rank =
      static_cast<std::size_t>(rank.memory.threads_at_once(rank.world.size(), 3));
  std::vector<std::string> failures(threads_a_rank);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < threads_a_rank; ++t) {
    threads.emplace_back([&, t] {
      try {
        Communicator communicator(rank.world,
                                  Group::range(rank.world.size()),
                                  rank.options("thread " + std::to_string(t)));
        for (std::size_t round = 0; round < 20; ++round) {
          gather_and_check(rank, communicator, told_apart(communicator, round * 7 + t));
        }
      } catch (const std::exception& error) {
        failures[t] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures) require(failure.empty(), failure);
}

CONFORMANCE_TEST(LetsATagBeUsedAgainAfterItsCommunicatorIsGone) {
  const auto rounds = static_cast<std::size_t>(rank.memory.communicators(20));
  for (std::size_t round = 0; round < rounds; ++round) {
    Communicator communicator(rank.world, Group::range(rank.world.size()), rank.options("again"));
    gather_and_check(rank, communicator, told_apart(communicator, round));
  }
}

CONFORMANCE_TEST(RefusesATagThatIsInUse) {
  const Group group = Group::range(rank.world.size());
  Communicator first(rank.world, group, rank.options("taken"));
  require_error(ErrorCode::invalid_argument, "the tag again", [&] {
    Communicator second(rank.world, group, rank.options("taken"));
  });
  gather_and_check(rank, first, told_apart(first, 1));
  // Another group may use it.
  Communicator alone(rank.world, Group{rank.world.rank()}, rank.options("alone"));
  gather_and_check(rank, alone, told_apart(alone, 1));
}

CONFORMANCE_TEST(TakesTagsOfAnyContent) {
  const Group group = Group::range(rank.world.size());
  for (const std::string& tag :
       {std::string(), std::string("\0x", 2), std::string("\0y", 2), std::string(1024, 't')}) {
    Communicator communicator(rank.world, group, rank.options(tag));
    require(communicator.options().tag == tag, "the tag has changed");
    gather_and_check(rank, communicator, told_apart(communicator, tag.size()));
  }
  require_error(ErrorCode::invalid_argument, "a tag of 1025 bytes", [&] {
    Communicator communicator(rank.world, group, rank.options(std::string(1025, 't')));
  });
}

CONFORMANCE_TEST(KnowsItsGroupItsPositionAndItsOptions) {
  std::vector<int> ranks = world_ranks(rank);
  std::ranges::reverse(ranks);
  CommunicatorOptions options = rank.options("facts");
  options.timeout = std::chrono::seconds(17);
  const Communicator communicator(rank.world, Group(ranks), options);
  require(communicator.group() == Group(ranks), "another group");
  require(communicator.position() == rank.world.size() - 1 - rank.world.rank(), "another position");
  require(communicator.options().tag == "facts", "another tag");
  require(communicator.options().timeout == options.timeout, "another timeout");
  require(communicator.options().device == options.device, "another device");
}

CONFORMANCE_TEST(TakesLittleControlMemory) {
  if (rank.world.size() != 8) return;
  const Communicator communicator(rank.world, Group::range(8), rank.options("small"));
  require(8 * communicator.control_bytes() <= 64 << 10,
          "8 members take 8 x " + std::to_string(communicator.control_bytes()) + " bytes");
}

CONFORMANCE_TEST(OutlivesTheWorldThatItWasMadeFrom) {
  const int size = rank.world.size();
  std::vector<std::byte> seen(static_cast<std::size_t>(size));
  const Block shard = rank.memory.allocate(rank.world, Place::ordinary, 1);
  const Block full = rank.memory.allocate(rank.world, Place::buffer, seen.size());
  Communicator first(rank.world, Group::range(size), rank.options("survivor"));
  Communicator communicator = std::move(first);
  { const World gone = std::move(rank.world); }

  const auto mine = std::byte(communicator.position());
  rank.memory.copy(shard.data, &mine, 1);
  communicator.all_gather({shard.data, DataType::uint8, {1}},
                          {full.data, DataType::uint8, {size}},
                          0,
                          rank.memory.stream());
  rank.memory.finish(communicator);
  rank.memory.copy(seen.data(), full.data, seen.size());
  for (std::size_t i = 0; i < seen.size(); ++i) require(seen[i] == std::byte(i), "a wrong byte");
}

}  // namespace
}  // namespace muster::test

// Many gathers in a row, every byte of each checked on the device. MUSTER_TEST_SOAK sets how many
// small ones; there are a hundredth as many mixed ones.
#include "gpu/captured_graph.h"
#include "gpu/gpu.h"
#include "gpu/rounds.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <random>

namespace muster::test {
namespace {

constexpr int ranks = 2;
constexpr int calls_a_graph = 500;

int small_gathers() {
  const char* asked = std::getenv("MUSTER_TEST_SOAK");
  return asked != nullptr ? std::atoi(asked) : 1000000;
}

using DeviceBytes = std::shared_ptr<std::byte>;

DeviceBytes ordinary(std::size_t bytes, const OwnStream& stream) {
  void* memory = nullptr;
  require_cuda(cudaMallocAsync(&memory, bytes, stream.get()));
  require_cuda(cudaMemsetAsync(memory, 0, bytes, stream.get()));
  stream.wait();
  return {static_cast<std::byte*>(memory),
          [handle = stream.get()](std::byte* m) { cudaFreeAsync(m, handle); }};
}

// One rank's gathers of `rows` x `row_bytes`, and their check.
class Soaked {
 public:
  Soaked(World& world, Communicator& communicator, const OwnStream& stream)
      : world_(world),
        communicator_(communicator),
        stream_(stream),
        rounds_(ordinary(sizeof(Rounds), stream)) {}

  void gather(std::byte* shard, std::byte* full, std::int64_t rows, std::int64_t row_bytes) {
    auto* const rounds = reinterpret_cast<Rounds*>(rounds_.get());
    begin_round(
        rounds, shard, static_cast<std::size_t>(rows * row_bytes), world_.rank(), stream_.get());
    communicator_.all_gather({shard, DataType::uint8, {rows, row_bytes}},
                             {full, DataType::uint8, {rows, row_bytes * world_.size()}},
                             1,
                             stream_.handle());
    check_round(rounds,
                full,
                world_.size(),
                static_cast<std::size_t>(rows),
                static_cast<std::size_t>(row_bytes),
                stream_.get());
  }

  void expect_rounds(int due) {
    Rounds seen{};
    require_cuda(
        cudaMemcpyAsync(&seen, rounds_.get(), sizeof seen, cudaMemcpyDeviceToHost, stream_.get()));
    stream_.wait();
    communicator_.check();
    require(seen.round == static_cast<std::uint64_t>(due),
            std::to_string(seen.round) + " rounds instead of " + std::to_string(due));
    require(seen.wrong == 0, std::to_string(seen.wrong) + " bytes were wrong");
  }

 private:
  World& world_;
  Communicator& communicator_;
  const OwnStream& stream_;
  DeviceBytes rounds_;
};

void meet(World& world) {
  world.exchange(Group::range(world.size()), {});
}

TEST(Soak, SmallGathersInGraphs) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  as_threads(ranks, [](World& world) {
    const OwnStream stream;
    Communicator communicator(world, Group::range(ranks), on_gpu("soak"));
    const DeviceBytes shard = ordinary(1024, stream);
    const DeviceBytes full = ordinary(std::size_t{1024} * ranks, stream);
    Soaked soaked(world, communicator, stream);
    const CapturedGraph graph(stream, [&] {
      for (int i = 0; i < calls_a_graph; ++i) {
        soaked.gather(shard.get(), full.get(), 8, i % 2 == 0 ? 100 : 128);  // any, whole packets
      }
    });
    meet(world);
    const int replays = small_gathers() / calls_a_graph;
    for (int i = 0; i < replays; ++i) graph.launch();
    soaked.expect_rounds(replays * calls_a_graph);
    meet(world);
  });
}

// Gathers of up to 16 rows, each of up to so many bytes as `longest` says, from and to all places.
using Longest = std::function<std::uint64_t(std::mt19937_64&)>;
void gather_mixtures(int gathers, std::size_t longest_row, const Longest& longest) {
  as_threads(ranks, [&](World& world) {
    const OwnStream stream;
    Communicator communicator(world, Group::range(ranks), on_gpu("mixed soak"));
    constexpr std::size_t most_rows = 16;
    const std::size_t most = most_rows * (longest_row + 16);
    const Buffer shards = world.allocate(most, this_device());
    const Buffer outputs = world.allocate(most * ranks, this_device());
    const DeviceBytes private_shard = ordinary(most, stream);
    const DeviceBytes private_output = ordinary(most * ranks, stream);
    Soaked soaked(world, communicator, stream);
    std::mt19937_64 alike(1);                                      // the same on all ranks
    std::mt19937_64 own(static_cast<unsigned>(world.rank()) + 2);  // places
    for (int i = 0; i < gathers; ++i) {
      const auto rows = static_cast<std::int64_t>(1 + alike() % most_rows);
      auto row_bytes = static_cast<std::int64_t>(1 + alike() % longest(alike));
      if (alike() % 2 == 0) row_bytes = (row_bytes + 15) / 16 * 16;  // whole words
      soaked.gather(own() % 2 ? shards.data() : private_shard.get(),
                    own() % 2 ? outputs.data() : private_output.get(),
                    rows,
                    row_bytes);
      if (i % 500 == 0) stream.wait();
    }
    soaked.expect_rounds(gathers);
    meet(world);
  });
}

TEST(Soak, MixedGathers) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  constexpr std::size_t longest_row = 300000;  // so that warps push more than once
  gather_mixtures(small_gathers() / 100, longest_row, [](auto& random) {
    return random() % 4 != 0 ? 3000 : random() % 4 != 0 ? 60000 : longest_row;
  });
}

// Of a section of more than 8 MiB warps take the next rows as they come.
TEST(Soak, LongGathersBetweenShortOnes) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  constexpr std::size_t longest_row = std::size_t{3} << 19;
  gather_mixtures(small_gathers() / 5000, longest_row, [](auto& random) {
    return random() % 2 != 0 ? 3000 : longest_row;
  });
}

}  // namespace
}  // namespace muster::test

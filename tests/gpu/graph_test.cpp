// Gathers in CUDA graphs.
#include "gpu/captured_graph.h"
#include "gpu/gpu.h"

#include <gtest/gtest.h>

#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

class Graph : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  }
};

void meet(World& world) {
  world.exchange(Group::range(world.size()), {});
}

TEST_P(Graph, HoldsGathersOfSeveralCommunicatorsAndIsReplayedBetweenPlainCalls) {
  as_threads(GetParam(), [](World& world) {
    const OwnStream stream;
    const Group all = Group::range(world.size());
    Communicator small(world, all, on_gpu("small"));
    Communicator large(world, all, on_gpu("large"));
    Gathering little(world, stream, 1000);
    Gathering much(world, stream, 300000);
    const CapturedGraph graph(stream, [&] {
      for (int i = 0; i < 3; ++i) {
        little.enqueue(small);
        much.enqueue(large);
        much.enqueue(small);
      }
    });
    for (int round = 0; round < 50; ++round) {
      little.fill(round);
      much.fill(round + 1);
      stream.wait();
      meet(world);  // a graph's launch must not wait for a kernel that waits for it
      if (round % 3 == 2) {
        much.enqueue(large);
        little.enqueue(small);
      } else {
        graph.launch();
      }
      much.expect(round + 1);
      little.expect(round);
      small.check();
      large.check();
      meet(world);
    }
  });
}

TEST_P(Graph, TellsByCheckThatAMemberDidNotReplayIt) {
  if (GetParam() == 1) GTEST_SKIP() << "nobody to wait for";
  as_threads(GetParam(), [](World& world) {
    const OwnStream stream;
    const Group all = Group::range(world.size());
    Gathering gathering(world, stream, 4096);
    {
      Communicator communicator(world, all, on_gpu("short", 300ms));
      const CapturedGraph graph(stream, [&] { gathering.enqueue(communicator); });
      meet(world);
      graph.launch();
      stream.wait();
      meet(world);
      if (world.rank() != 0) {
        graph.launch();
        stream.wait();
        const Error error =
            require_error(ErrorCode::timeout, "check", [&] { communicator.check(); });
        require_peer(error, 0);
        graph.launch();  // returns at once
        stream.wait();
      }
      meet(world);
      if (world.rank() == 0) {
        require_error(ErrorCode::timeout, "call", [&] { gathering.enqueue(communicator); });
      }
    }
    Communicator next(world, all, on_gpu("next"));
    gathering.fill(3);
    stream.wait();
    gathering.enqueue(next);
    gathering.expect(3);
    meet(world);
  });
}

TEST_P(Graph, ThatCannotBeCapturedLeavesTheCommunicatorAsItWas) {
  as_threads(GetParam(), [](World& world) {
    const OwnStream stream;
    Communicator communicator(world, Group::range(world.size()), on_gpu("uncaptured"));
    Gathering gathering(world, stream, 4096);
    gathering.fill(1);
    stream.wait();
    if (world.rank() == 0) {
      require_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
      require(cudaStreamSynchronize(stream.get()) != cudaSuccess, "one waits for what is captured");
      require_error(ErrorCode::system, "gather", [&] { gathering.enqueue(communicator); });
      cudaGraph_t graph = nullptr;
      require(cudaStreamEndCapture(stream.get(), &graph) != cudaSuccess, "the capture is valid");
      cudaGetLastError();
    }
    meet(world);
    gathering.enqueue(communicator);
    gathering.expect(1);
    communicator.check();
    meet(world);
  });
}

INSTANTIATE_TEST_SUITE_P(On, Graph, ::testing::Values(1, 2, 4, 8));

class Streams : public Graph {};

TEST_P(Streams, MayChangeFromCallToCall) {
  as_threads(GetParam(), [](World& world) {
    const OwnStream first;
    const OwnStream second;
    Communicator communicator(world, Group::range(world.size()), on_gpu("streams"));
    Gathering one(world, first, 50000);
    Gathering other(world, second, 60);
    for (int round = 0; round < 100; ++round) {
      one.fill(round);
      other.fill(round + 5);
      first.wait();
      second.wait();
      one.enqueue(communicator);
      other.enqueue(communicator);
      one.expect(round);
      other.expect(round + 5);
      meet(world);
    }
  });
}

TEST_P(Streams, OfAnyPriorityCarryGathersAtTheSameTime) {
  as_threads(GetParam(), [](World& world) {
    int least = 0;
    int greatest = 0;
    require_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    const OwnStream patient(least);
    const OwnStream urgent(greatest);
    const Group all = Group::range(world.size());
    Communicator slow(world, all, on_gpu("patient"));
    Communicator fast(world, all, on_gpu("urgent"));
    Gathering much(world, patient, 300000);
    Gathering little(world, urgent, 1000);
    for (int round = 0; round < 50; ++round) {
      much.fill(round);
      little.fill(round + 5);
      patient.wait();
      urgent.wait();
      meet(world);
      if ((world.rank() + round) % 2 == 0) {
        much.enqueue(slow);
        little.enqueue(fast);
      } else {
        little.enqueue(fast);
        much.enqueue(slow);
      }
      much.expect(round);
      little.expect(round + 5);
      slow.check();
      fast.check();
    }
    meet(world);
  });
}

// Without muster's part CUDA holds one of the first kernels up in about 1 of 30 worlds.
TEST_P(Streams, MayBeNewToAllRanksThatEnqueueSeveralGathersAtOnce) {
  for (int repeat = 0; repeat < 200; ++repeat) {
    as_threads(GetParam(), [&](World& world) {
      const OwnStream used;
      const OwnStream fresh;
      Communicator communicator(world, Group::range(world.size()), on_gpu("new", 3s));
      Gathering gathering(world, used, 100000);
      gathering.fill(repeat);
      used.wait();
      meet(world);
      for (int call = 0; call < 5; ++call) gathering.enqueue(communicator, fresh);
      fresh.wait();
      communicator.check();
      gathering.expect(repeat);
      meet(world);
    });
  }
}

TEST_P(Streams, ThatWaitForOthersAreRefused) {
  as_threads(GetParam(), [](World& world) {
    const OwnStream stream;
    Communicator communicator(world, Group::range(world.size()), on_gpu("legacy"));
    const Buffer shard = world.allocate(16, this_device());
    const Buffer full = world.allocate(16 * static_cast<std::size_t>(world.size()), this_device());
    const auto gather_on = [&](Stream on) {
      communicator.all_gather({shard.data(), DataType::uint8, {16}},
                              {full.data(), DataType::uint8, {std::int64_t{16} * world.size()}},
                              0,
                              on);
    };
    require_error(ErrorCode::invalid_argument, "default", [&] { gather_on(Stream()); });
    require_error(
        ErrorCode::invalid_argument, "legacy", [&] { gather_on(Stream(cudaStreamLegacy)); });
    std::vector<std::byte> ordinary(16);
    require_error(ErrorCode::invalid_argument, "memory of the host", [&] {
      communicator.all_gather({ordinary.data(), DataType::uint8, {16}},
                              {full.data(), DataType::uint8, {std::int64_t{16} * world.size()}},
                              0,
                              stream.handle());
    });
    gather_on(stream.handle());
    stream.wait();
    communicator.check();
    meet(world);
  });
}

INSTANTIATE_TEST_SUITE_P(On, Streams, ::testing::Values(1, 2, 8));

}  // namespace
}  // namespace muster::test

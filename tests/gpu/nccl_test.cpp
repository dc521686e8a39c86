// Gathers by NCCL: what the conformance suite does not say.
#include "gpu/captured_graph.h"
#include "gpu/gpu.h"
#include "gpu/victim.h"
#include "support/job.h"
#include "support/role.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;

// Also lets NCCL take several ranks on a GPU, which it does from 2.30 on.
bool have_gpu_for_nccl() {
  ::setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);
  ::setenv("NCCL_NVLS_ENABLE", "0", 1);
  return have_gpu();
}

CommunicatorOptions by_nccl(std::string tag,
                            std::chrono::milliseconds timeout = World::default_timeout) {
  CommunicatorOptions options = on_gpu(std::move(tag), timeout);
  options.transport = Transport::nccl;
  return options;
}

TEST(NcclOnTheCpu, IsUnsupported) {
  auto worlds = World::threads(1);
  const Error error = require_error(ErrorCode::unsupported, "communicator", [&] {
    Communicator communicator(worlds[0], Group{0}, {.transport = Transport::nccl});
  });
  require_text(error, {"nccl", "cpu"});
}

// A graph's launch must not wait for a kernel that waits for it.
void meet(World& world) {
  world.exchange(Group::range(world.size()), {});
}

class Nccl : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!have_gpu_for_nccl()) GTEST_SKIP() << "no GPU here";
  }
};

// Rows of 24 bytes of rank 0, 32 of rank 1, and so on, at their places in wider rows: captured, and
// replayed between plain calls.
TEST_P(Nccl, ReplaysCapturedGathersOfUnequalSectionsBetweenPlainCalls) {
  as_threads(GetParam(), [](World& world) {
    constexpr std::int64_t rows = 50;
    const auto columns = [](int rank) { return 24 + std::int64_t{8} * rank; };
    std::int64_t whole = 0;
    for (int r = 0; r < world.size(); ++r) whole += columns(r);
    const OwnStream stream;
    Communicator communicator(world, Group::range(world.size()), by_nccl("captured"));
    const Buffer shard =
        world.allocate(static_cast<std::size_t>(rows * columns(world.rank())), this_device());
    const Buffer full = world.allocate(static_cast<std::size_t>(rows * whole), this_device());
    const auto gather = [&] {
      communicator.all_gather({shard.data(), DataType::uint8, {rows, columns(world.rank())}},
                              {full.data(), DataType::uint8, {rows, whole}},
                              1,
                              stream.handle());
    };
    const CapturedGraph graph(stream, gather);
    for (int round = 0; round < 20; ++round) {
      require_cuda(
          cudaMemsetAsync(shard.data(), round + 7 * world.rank(), shard.size(), stream.get()));
      require_cuda(cudaMemsetAsync(full.data(), 255, full.size(), stream.get()));
      stream.wait();
      meet(world);
      if (round % 3 == 2) {
        gather();
      } else {
        graph.launch();
      }
      std::vector<std::uint8_t> seen(full.size());
      require_cuda(cudaMemcpyAsync(
          seen.data(), full.data(), seen.size(), cudaMemcpyDeviceToHost, stream.get()));
      stream.wait();
      communicator.check();
      std::size_t at = 0;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (int r = 0; r < world.size(); ++r) {
          for (std::int64_t c = 0; c < columns(r); ++c, ++at) {
            require(seen[at] == static_cast<std::uint8_t>(round + 7 * r), "a wrong byte");
          }
        }
      }
      meet(world);
    }
  });
}

// Short, but long enough for NCCL to make a communicator, if not the first one of the process.
constexpr auto short_timeout = 2s;

void warm_up(World& world) {
  { const Communicator first(world, Group::range(world.size()), by_nccl("first")); }
  meet(world);  // the last rank to go takes everyone's memory down
}

// Gathers once, and once more while rank 0's stream is held up for longer than the timeout.
void hold_up_a_gather(World& world,
                      const OwnStream& stream,
                      Gathering& gathering,
                      Communicator& communicator) {
  gathering.fill(1);
  gathering.enqueue(communicator);
  gathering.expect(1);
  meet(world);
  static std::chrono::milliseconds long_enough = 2 * short_timeout;
  if (world.rank() == 0) hold_up(stream, long_enough);
  gathering.enqueue(communicator);
}

void expect_a_gather(World& world, Gathering& gathering) {
  Communicator next(world, Group::range(world.size()), by_nccl("next"));
  gathering.fill(3);
  gathering.enqueue(next);
  gathering.expect(3);
  next.check();
  meet(world);
}

TEST_P(Nccl, EndsAKernelThatWaitsForAMemberWhoseStreamIsHeldUp) {
  if (GetParam() == 1) GTEST_SKIP() << "nobody to wait for";
  as_threads(GetParam(), [](World& world) {
    warm_up(world);
    const OwnStream stream;
    Gathering gathering(world, stream, 4096);
    {
      Communicator communicator(
          world, Group::range(world.size()), by_nccl("held up", short_timeout));
      hold_up_a_gather(world, stream, gathering, communicator);
      stream.wait();
      if (world.rank() != 0) {
        const Error error =
            require_error(ErrorCode::timeout, "check", [&] { communicator.check(); });
        require_peer(error, 0);
      }
      meet(world);
      require_error(ErrorCode::timeout, "call", [&] { gathering.enqueue(communicator); });
    }
    expect_a_gather(world, gathering);
  });
}

TEST_P(Nccl, IsDestroyedWithoutHarmWhileItsStreamIsHeldUp) {
  if (GetParam() == 1) GTEST_SKIP() << "nobody to wait for";
  as_threads(GetParam(), [](World& world) {
    warm_up(world);
    const OwnStream stream;
    Gathering gathering(world, stream, 4096);
    {
      Communicator communicator(
          world, Group::range(world.size()), by_nccl("held up", short_timeout));
      hold_up_a_gather(world, stream, gathering, communicator);
    }
    stream.wait();
    meet(world);
    expect_a_gather(world, gathering);
  });
}

TEST_P(Nccl, TellsByCheckThatAMemberDidNotReplayAGraph) {
  if (GetParam() == 1) GTEST_SKIP() << "nobody to wait for";
  as_threads(GetParam(), [](World& world) {
    warm_up(world);
    const OwnStream stream;
    Gathering gathering(world, stream, 4096);
    Communicator communicator(
        world, Group::range(world.size()), by_nccl("replayed", short_timeout));
    const CapturedGraph graph(stream, [&] { gathering.enqueue(communicator); });
    gathering.fill(1);
    stream.wait();
    meet(world);
    graph.launch();
    gathering.expect(1);
    meet(world);
    if (world.rank() != 0) {
      graph.launch();
      stream.wait();
      const Error error = require_error(ErrorCode::timeout, "check", [&] { communicator.check(); });
      require_peer(error, 0);
    }
    meet(world);
  });
}

TEST_P(Nccl, AnotherChoiceOfTransportIsAMismatch) {
  if (GetParam() == 1) GTEST_SKIP() << "nobody to disagree with";
  as_threads(GetParam(), [](World& world) {
    const Error error = require_error(ErrorCode::mismatch, "communicator", [&] {
      Communicator communicator(world,
                                Group::range(world.size()),
                                world.rank() == 0 ? by_nccl("choice") : on_gpu("choice"));
    });
    require_text(error, {"transport"});
    meet(world);
  });
}

INSTANTIATE_TEST_SUITE_P(On, Nccl, ::testing::Values(1, 2, 3));

const RegisteredRole beside_a_victim("beside a victim of NCCL's", [](const std::string& argument) {
  if (!have_gpu_for_nccl()) throw std::runtime_error("no GPU");
  act_beside_a_victim(argument, by_nccl);
});

TEST(KillUnderNccl, FreesTheKernelsThatWaitAndTheOthersGoOn) {
  if (!have_gpu_for_nccl()) GTEST_SKIP() << "no GPU here";
  expect_freed_from_the_killed(3, "beside a victim of NCCL's", 500ms);
}

TEST(StopUnderNccl, IsATimeoutThatEndsTheKernelsAndTheOthersGoOn) {
  if (!have_gpu_for_nccl()) GTEST_SKIP() << "no GPU here";
  expect_freed_from_the_stopped(3, "beside a victim of NCCL's", 500ms);
}

// A machine without NCCL.
void act_without_nccl(const std::string&) {
  ::setenv("MUSTER_NCCL", "/there/is/none", 1);
  if (!have_gpu_for_nccl()) throw std::runtime_error("no GPU");
  World world = World::join();
  const Error error = require_error(ErrorCode::unsupported, "communicator", [&] {
    Communicator communicator(world, Group::range(world.size()), by_nccl("none"));
  });
  require_text(error, {"no NCCL"});
  Communicator otherwise(world, Group::range(world.size()), on_gpu("none"));
  tell("told");
}
const RegisteredRole without_nccl("without NCCL", act_without_nccl);

TEST(WithoutNccl, AllMembersAreToldThatThereIsNone) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  Job job(2, "without NCCL", "");
  EXPECT_EQ(job.wait(Clock::now() + patience), "");
}

}  // namespace
}  // namespace muster::test

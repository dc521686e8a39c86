// A rank's process is killed while the others' kernels wait for it.
#include "gpu/gpu.h"
#include "support/job.h"
#include "support/role.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;

// Gathers until somebody is lost, tells when it learnt that, and goes on with those who are left.
// The victim stops gathering, so that the others wait for it in a kernel.
void act_beside_a_victim(const std::string&) {
  if (!have_gpu()) throw std::runtime_error("no GPU");
  World world = World::join();
  const int victim = world.size() - 1;
  const OwnStream stream;
  Group left = Group::range(world.size());
  Gathering gathering(world, stream, 20000);
  {
    Communicator communicator(world, left, on_gpu("before"));
    for (int round = 0; round < 5; ++round) {
      gathering.fill(round);
      stream.wait();
      gathering.enqueue(communicator);
      gathering.expect(round);
    }
    tell("ready");
    if (world.rank() == victim) std::this_thread::sleep_for(patience);
    gathering.enqueue(communicator);
    stream.wait();
    const auto freed = Clock::now();
    const Error error = require_error(ErrorCode::peer_lost, "check", [&] { communicator.check(); });
    require_peer(error, victim);
    tell(std::to_string(freed.time_since_epoch().count()));
    left = world.survivors(left);
  }
  // The context is still good, and the memory of the dead is still mapped.
  Communicator communicator(world, left, on_gpu("after"));
  const auto bytes = static_cast<std::int64_t>(5000);
  const Buffer shard = world.allocate(static_cast<std::size_t>(bytes), Device::cuda(0));
  const Buffer full =
      world.allocate(static_cast<std::size_t>(bytes * left.size()), Device::cuda(0));
  require_cuda(cudaMemsetAsync(shard.data(), 5, shard.size(), stream.get()));
  stream.wait();
  communicator.all_gather({shard.data(), DataType::uint8, {bytes}},
                          {full.data(), DataType::uint8, {bytes * left.size()}},
                          0,
                          stream.handle());
  stream.wait();
  communicator.check();
  std::vector<std::uint8_t> seen(full.size());
  require_cuda(
      cudaMemcpyAsync(seen.data(), full.data(), seen.size(), cudaMemcpyDeviceToHost, stream.get()));
  stream.wait();
  for (const std::uint8_t byte : seen) require(byte == 5, "a wrong byte after the kill");
  tell("went on");
}
const RegisteredRole beside_a_victim("beside a victim on a GPU", act_beside_a_victim);

class KillOnGpu : public ::testing::TestWithParam<int> {};

TEST_P(KillOnGpu, FreesTheKernelsThatWaitAndTheOthersGoOn) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  const int ranks = GetParam();
  Job job(ranks, "beside a victim on a GPU", "");
  const auto deadline = Clock::now() + patience;
  for (int r = 0; r < ranks; ++r) ASSERT_EQ(job[r].line(deadline), "ready") << "rank " << r;
  std::this_thread::sleep_for(300ms);  // until the kernels wait
  const auto killed = Clock::now();
  job[ranks - 1].signal(SIGKILL);
  for (int r = 0; r < ranks - 1; ++r) {
    const auto line = job[r].line(deadline);
    ASSERT_TRUE(line) << "rank " << r;
    const Clock::time_point freed{Clock::duration(std::stoll(*line))};
    const auto after = std::chrono::duration_cast<std::chrono::microseconds>(freed - killed);
    std::printf("rank %d's kernel ended %lld us after the kill\n",
                r,
                static_cast<long long>(after.count()));
    EXPECT_GE(after, 0us);
    EXPECT_LE(after, 100ms);
    EXPECT_EQ(job[r].line(deadline), "went on") << "rank " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Of, KillOnGpu, ::testing::Values(2, 3, 4));

}  // namespace
}  // namespace muster::test

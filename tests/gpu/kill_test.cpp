// A rank's process is killed, or stopped, or loses its context, while the others' kernels wait for
// it.
#include "gpu/victim.h"
#include "support/job.h"
#include "support/role.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

const RegisteredRole beside_a_victim("beside a victim on a GPU", [](const std::string& argument) {
  if (!have_gpu()) throw std::runtime_error("no GPU");
  act_beside_a_victim(argument, on_gpu);
});

class OnGpus : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  }
};

using KillOnGpu = OnGpus;
TEST_P(KillOnGpu, FreesTheKernelsThatWaitAndTheOthersGoOn) {
  expect_freed_from_the_killed(GetParam(), "beside a victim on a GPU", 100ms);
}
TEST_P(KillOnGpu, LeavesNoGatherThatWritesOnceTheOthersGoOn) {
  expect_freed_from_the_killed(
      GetParam(), "beside a victim on a GPU", 100ms, "killed behind a kernel");
}
INSTANTIATE_TEST_SUITE_P(Of, KillOnGpu, ::testing::Values(2, 3, 4));

using FaultOnGpu = OnGpus;
TEST_P(FaultOnGpu, IsToldToTheOthersByTheNextCallAndTheyGoOn) {
  expect_freed_from_the_faulty(GetParam(), "beside a victim on a GPU", 100ms);
}
INSTANTIATE_TEST_SUITE_P(Of, FaultOnGpu, ::testing::Values(2, 4));

using StopOnGpu = OnGpus;
TEST_P(StopOnGpu, IsATimeoutThatEndsTheKernelsAndTheOthersGoOn) {
  expect_freed_from_the_stopped(GetParam(), "beside a victim on a GPU", 100ms);
}
INSTANTIATE_TEST_SUITE_P(Of, StopOnGpu, ::testing::Values(2, 4));

// What becomes of a dead process's memory: of what its peers have mapped, and of what nobody has.

constexpr std::size_t mapped_bytes = std::size_t{1} << 30;
constexpr std::size_t private_bytes = std::size_t{8} << 30;

std::size_t free_bytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  require_cuda(cudaMemGetInfo(&free, &total));
  return free;
}

// How long until so many bytes more than `before` are free; nothing if that never happens.
std::optional<std::chrono::microseconds> until_freed(std::size_t before,
                                                     std::size_t bytes,
                                                     Clock::time_point since) {
  while (free_bytes() < before + bytes) {
    if (Clock::now() > since + 20s) return std::nullopt;
    std::this_thread::sleep_for(200us);
  }
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - since);
}

const RegisteredRole with_much_memory("with much memory on a GPU", [](const std::string&) {
  if (!have_gpu()) throw std::runtime_error("no GPU");
  auto world = std::make_unique<World>(World::join());
  const OwnStream stream;
  Buffer buffer = world->allocate(world->rank() == 1 ? mapped_bytes : 1, Device::cuda(0));
  void* own = nullptr;
  if (world->rank() == 1) require_cuda(cudaMalloc(&own, private_bytes));
  world->exchange(Group{0, 1}, {});
  if (world->rank() == 1) {
    tell("ready");
    std::this_thread::sleep_for(60s);
  }
  const std::size_t before = free_bytes();
  tell("ready");
  while (world->survivors(Group{0, 1}, 30s).size() == 2) {
  }
  const auto died = Clock::now();
  const auto released = until_freed(before, private_bytes - (private_bytes >> 6), died);
  require(released.has_value(), "the dead process's private memory stays");
  tell(std::to_string(released->count()));
  std::this_thread::sleep_for(500ms);
  const std::size_t then = free_bytes();
  tell(std::to_string((then - before) >> 20));
  buffer = Buffer();
  world.reset();
  const auto rest = until_freed(then, mapped_bytes - (mapped_bytes >> 6), Clock::now());
  require(rest.has_value(), "what was mapped stays when the world is gone");
  tell(std::to_string(rest->count()));
});

TEST(MemoryOfTheDead, StaysAsLongAsPeersMapIt) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  Job job(2, "with much memory on a GPU", "");
  const auto deadline = Clock::now() + 60s;
  for (int r = 0; r < 2; ++r) ASSERT_EQ(job[r].line(deadline), "ready");
  job[1].signal(SIGKILL);
  const auto released = job[0].line(deadline);
  const auto mebibytes = job[0].line(deadline);
  const auto rest = job[0].line(deadline);
  ASSERT_TRUE(released && mebibytes && rest);
  std::printf(
      "the dead process's 8 GiB of its own were free %s us after its death was known\n"
      "half a second later %s MiB more were free; its peer had 1024 MiB of it mapped\n"
      "these were free %s us after that peer's world was gone\n",
      released->c_str(),
      mebibytes->c_str(),
      rest->c_str());
  // Beside its own memory, what the process took for itself is free: its CUDA context.
  EXPECT_LT(std::stoll(*mebibytes), static_cast<long long>((private_bytes + mapped_bytes) >> 20));
}

}  // namespace
}  // namespace muster::test

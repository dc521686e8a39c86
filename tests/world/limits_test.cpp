#include "world/limits.h"

#include "child.h"

#include <gtest/gtest.h>

#include <sched.h>
#include <unistd.h>

#include <array>
#include <vector>

namespace muster::world {
namespace {

cpu_set_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

std::vector<int> cores_of(const cpu_set_t& set) {
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

void pin(pid_t process, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  EXPECT_EQ(::sched_setaffinity(process, sizeof set, &set), 0);
}

TEST(UsableCores, OfProcessesWithACoreEachAreAllTheirCores) {
  const cpu_set_t before = affinity();
  const std::vector<int> cores = cores_of(before);
  if (usable_cores() < 2) GTEST_SKIP() << "there is but one core to use";
  const test::Child child([] { ::pause(); });
  pin(0, cores[0]);
  pin(child.pid(), cores[1]);
  EXPECT_EQ(usable_cores(), 1);
  EXPECT_EQ(usable_cores(std::array{child.pid()}), 2);
  pin(child.pid(), cores[0]);
  EXPECT_EQ(usable_cores(std::array{child.pid()}), 1);
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(UsableCores, OfProcessesThatCannotBeAskedAreThisOnes) {
  const int alone = usable_cores();
  EXPECT_GE(alone, 1);
  EXPECT_EQ(usable_cores(std::array<pid_t, 2>{0, -1}), alone);
}

}  // namespace
}  // namespace muster::world

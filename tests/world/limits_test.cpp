#include "world/limits.h"

#include "child.h"

#include <gtest/gtest.h>

#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
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

// A folder with the files of a control group.
class ControlGroup {
 public:
  ControlGroup() {
    std::string name = (std::filesystem::temp_directory_path() / "muster-group-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~ControlGroup() { std::filesystem::remove_all(path_); }
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  void write(const char* file, const char* text) const { std::ofstream(path_ / file) << text; }
  std::size_t left() const { return memory_left_in(path_); }

 private:
  std::filesystem::path path_;
};

TEST(MemoryLeftInAControlGroup, IsAllThatThereIsWhereThereIsNoLimit) {
  const ControlGroup group;
  EXPECT_EQ(group.left(), SIZE_MAX);
  group.write("memory.max", "max\n");
  group.write("memory.current", "5000\n");
  EXPECT_EQ(group.left(), SIZE_MAX);
}

TEST(MemoryLeftInAControlGroup, CountsNoCachedFiles) {
  const ControlGroup group;
  group.write("memory.max", "8000\n");
  group.write("memory.current", "7000\n");
  EXPECT_EQ(group.left(), 1000);
  group.write("memory.stat", "anon 500\ninactive_file 4000\nactive_file 2000\n");
  EXPECT_EQ(group.left(), 7000);
  group.write("memory.current", "9000\n");
  EXPECT_EQ(group.left(), 5000);
  group.write("memory.stat", "anon 9000\n");
  EXPECT_EQ(group.left(), 0);
}

}  // namespace
}  // namespace muster::world

// Too little of something: an error, nothing leaked, and it goes again when there is enough.
#include "support/job.h"
#include "support/require.h"
#include "support/role.h"

#include <muster/muster.h>

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

std::size_t arena_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("memfd:") != std::string::npos;
  return count;
}

// A limit of this process, as long as the object lives.
class Limit {
 public:
  Limit(decltype(RLIMIT_NOFILE) resource, rlim_t value) : resource_(resource) {
    ::getrlimit(resource_, &before_);
    const rlimit limit{std::min(value, before_.rlim_max), before_.rlim_max};
    ::setrlimit(resource_, &limit);
  }
  ~Limit() { ::setrlimit(resource_, &before_); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  decltype(RLIMIT_NOFILE) resource_;
  rlimit before_{};
};

void use(std::vector<World> worlds) {
  std::vector<std::thread> threads;
  for (World& world : worlds) {
    threads.emplace_back([&world] {
      Communicator communicator(world, Group::range(world.size()));
      Buffer full = world.allocate(static_cast<std::size_t>(world.size()));
      const std::byte mine{1};
      communicator.all_gather(
          {&mine, DataType::uint8, {1}}, {full.data(), DataType::uint8, {world.size()}}, 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Makes worlds under a tight limit; each is whole or an error, and afterwards all is as before.
void make_worlds_under(decltype(RLIMIT_NOFILE) resource, rlim_t least, rlim_t step, int steps) {
  use(World::threads(3));  // whatever is made once is there now
  const std::size_t descriptors = open_descriptors();
  const std::size_t mappings = arena_mappings();
  int refused = 0;
  for (int i = 0; i < steps; ++i) {
    try {
      const Limit limit(resource, least + step * static_cast<rlim_t>(i));
      const std::vector<World> worlds = World::threads(3);
    } catch (const Error& error) {
      ++refused;
      require(error.code() == ErrorCode::system || error.code() == ErrorCode::out_of_memory,
              described(error));
    }
    require(open_descriptors() == descriptors, "descriptors have leaked");
    require(arena_mappings() == mappings, "mappings have leaked");
  }
  require(refused > 0, "the limits were not tight");
  use(World::threads(3));
}

const RegisteredRole few_descriptors("few descriptors", [](const std::string&) {
  make_worlds_under(RLIMIT_NOFILE, open_descriptors() - 1, 1, 12);
});

const RegisteredRole little_address_space("little address space", [](const std::string&) {
  make_worlds_under(RLIMIT_AS, 16 << 20, 32 << 20, 20);
});

const RegisteredRole short_files("short files", [](const std::string&) {
  make_worlds_under(RLIMIT_FSIZE, 1 << 20, 1 << 20, 8);
});

TEST(Shortage, OfDescriptorsIsAnErrorAndLeaksNothing) {
  Process process("few descriptors", "", {});
  const std::string last = process.line(Clock::now() + patience).value_or("");
  process.wait(Clock::now() + patience);
  EXPECT_EQ(process.status(), 0) << last;
}

TEST(Shortage, OfAddressSpaceIsAnErrorAndLeaksNothing) {
  Process process("little address space", "", {});
  const std::string last = process.line(Clock::now() + patience).value_or("");
  process.wait(Clock::now() + patience);
  EXPECT_EQ(process.status(), 0) << last;
}

TEST(Shortage, OfLengthThatAFileMayHaveIsAnErrorAndLeaksNothing) {
  Process process("short files", "", {});
  const std::string last = process.line(Clock::now() + patience).value_or("");
  process.wait(Clock::now() + patience);
  EXPECT_EQ(process.status(), 0) << last;
}

// One rank of two has no descriptors left to join with.
const RegisteredRole joins_with_few("joins with few descriptors", [](const std::string& count) {
  const bool short_of = std::string(std::getenv("MUSTER_RANK")) == "1";
  const std::size_t before = open_descriptors();
  try {
    const Limit limit(RLIMIT_NOFILE, short_of ? before - 1 + std::stoul(count) : before + 1000);
    World world = World::join(2s);
    world.exchange(Group::range(world.size()), {}, 2s);
    return;
  } catch (const Error& error) {
    if (short_of) {
      require(error.code() == ErrorCode::system || error.code() == ErrorCode::out_of_memory,
              described(error));
    }
  }
  require(open_descriptors() == before, "descriptors have leaked");
});

TEST(Shortage, OfARanksDescriptorsFailsItsJoin) {
  for (int count = 0; count < 8; ++count) {
    Job job(2, "joins with few descriptors", std::to_string(count));
    EXPECT_EQ(job.wait(Clock::now() + patience), "") << "with " << count << " descriptors";
  }
}

// An arena that Buffers have filled has no room for a communicator's control memory.
const RegisteredRole full_arena("full arena", [](const std::string&) {
  World world = World::join();
  const Group group = Group::range(world.size());
  std::vector<Buffer> buffers;
  for (std::size_t size = std::size_t{1} << 20; size >= 128; size /= 2) {
    try {
      for (;;) buffers.push_back(world.allocate(size));
    } catch (const Error& error) {
      require(error.code() == ErrorCode::out_of_memory, described(error));
    }
  }
  require(buffers.size() > 4, "the arena was full from the beginning");
  require_error(ErrorCode::out_of_memory, "communicator", [&] {
    Communicator communicator(world, group, {.timeout = 2s, .tag = "no room"});
  });
  buffers.clear();
  Communicator communicator(world, group, {.tag = "room"});
  std::byte full[2];
  const std::byte mine{3};
  communicator.all_gather({&mine, DataType::uint8, {1}}, {full, DataType::uint8, {2}}, 0);
  require(full[0] == mine && full[1] == mine, "a wrong byte");
});

TEST(Shortage, OfTheArenaIsAnErrorAndEndsWithTheBuffers) {
  ::setenv("MUSTER_ARENA_BYTES", std::to_string(16 << 20).c_str(), 1);
  EXPECT_EQ(Job(2, "full arena", "").wait(Clock::now() + patience), "");
  ::unsetenv("MUSTER_ARENA_BYTES");
}

}  // namespace
}  // namespace muster::test

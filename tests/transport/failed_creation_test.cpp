// Communicators that could not be made stand in nobody's way.
#include <muster/muster.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace muster {
namespace {

using namespace std::chrono_literals;

TEST(FailedCreations, LeaveRoomForOthersHoweverManyThereAre) {
  std::vector<World> worlds = World::threads(2);
  for (int i = 0; i < 1500; ++i) {
    try {
      const Communicator never(worlds[0], Group{0, 1}, {.timeout = 0ms, .tag = std::to_string(i)});
      ADD_FAILURE() << "made without the other member";
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::timeout) << error.what();
    }
  }
  Communicator alone(worlds[0], Group{0});
  EXPECT_EQ(alone.position(), 0);
}

// All that its arena has room for, but for what is too little for a communicator.
std::vector<Buffer> nearly_all_memory_of(World& world) {
  const Buffer spared = world.allocate(1024);
  std::vector<Buffer> buffers;
  for (std::size_t bytes = 1 << 20; bytes > 0; bytes /= 2) {
    try {
      for (;;) buffers.push_back(world.allocate(bytes));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
    }
  }
  return buffers;
}

TEST(FailedCreations, AreToldToAllByTheMemberThatHasNoMemory) {
  ::setenv("MUSTER_ARENA_BYTES", "4194304", 1);
  std::vector<World> worlds = World::threads(3);
  ::unsetenv("MUSTER_ARENA_BYTES");
  std::vector<Buffer> memory = nearly_all_memory_of(worlds[1]);
  const auto meet = [&] {
    std::vector<std::optional<Error>> errors(worlds.size());
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < worlds.size(); ++r) {
      threads.emplace_back([&, r] {
        try {
          Communicator(worlds[r], Group{0, 1, 2});
        } catch (const Error& error) {
          errors[r] = error;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return errors;
  };
  const auto errors = meet();
  for (const std::size_t r : {0, 1, 2}) {
    ASSERT_TRUE(errors[r]) << r;
    EXPECT_EQ(errors[r]->code(), r == 1 ? ErrorCode::out_of_memory : ErrorCode::peer_lost)
        << errors[r]->what();
    if (r == 1) continue;
    EXPECT_EQ(errors[r]->peer(), 1);
  }
  memory.clear();
  for (const auto& error : meet()) EXPECT_FALSE(error) << error->what();
}

}  // namespace
}  // namespace muster

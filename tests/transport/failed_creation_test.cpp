// Communicators that could not be made stand in nobody's way.
#include <muster/muster.h>

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace muster {
namespace {

using namespace std::chrono_literals;

TEST(FailedCreations, LeaveRoomForOthersHoweverManyThereAre) {
  std::vector<World> worlds = World::threads(2);
  for (int i = 0; i < 1500; ++i) {
    try {
      Communicator(worlds[0], Group{0, 1}, {.timeout = 0ms, .tag = std::to_string(i)});
      ADD_FAILURE() << "made without the other member";
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::timeout) << error.what();
    }
  }
  Communicator alone(worlds[0], Group{0});
  EXPECT_EQ(alone.position(), 0);
}

}  // namespace
}  // namespace muster

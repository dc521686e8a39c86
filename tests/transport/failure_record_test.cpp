// What a member makes of a failure that another began to write down.
#include "transport/shm/failure.h"

#include "muster/world.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace muster::transport::shm {
namespace {

class FailureRecords : public ::testing::Test {
 protected:
  Error seen() {
    const Error error = Failures(endpoint_).recorded();
    EXPECT_NE(std::string(error.what()).find("all_gather on group [0,1,2]"), std::string::npos);
    return error;
  }

  std::vector<std::shared_ptr<world::State>> states_ = world::State::threads(3);
  std::size_t bytes_ = ControlView::bytes(3);
  world::Range range_ = states_[0]->arena().allocate(bytes_, true);
  ControlView control_{states_[0]->arena().base() + range_.offset, 3};
  Endpoint endpoint_{.state = states_[0],
                     .group = Group{0, 1, 2},
                     .timeout = World::default_timeout,
                     .self = 0,
                     .controls = {control_, control_, control_}};
};

TEST_F(FailureRecords, ThatNobodyFinishesNameTheMemberThatIsLost) {
  control_.failure().state = FailureRecord::claimed;
  states_[2].reset();  // leaves the world, as far as its peers can tell
  while (!states_[0]->liveness().lost(2)) std::this_thread::yield();
  const Error error = seen();
  EXPECT_EQ(error.code(), ErrorCode::peer_lost);
  EXPECT_EQ(error.peer(), 2);
}

TEST_F(FailureRecords, ThatNobodyFinishesBlameNobodyWhileAllLive) {
  control_.failure().state = FailureRecord::claimed;
  const Error error = seen();
  EXPECT_EQ(error.code(), ErrorCode::peer_lost);
  EXPECT_EQ(error.peer(), std::nullopt);
}

}  // namespace
}  // namespace muster::transport::shm

// What a forked child may do with its parent's objects: end, or execute another program.
#include <muster/muster.h>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

namespace muster {
namespace {

bool is_unsupported(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == ErrorCode::unsupported;
  }
  return false;
}

int status_of(pid_t child) {
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(AForkedChild, IsToldThatItHasNoneOfItsParentsMemory) {
  std::vector<World> worlds = World::threads(1);
  World& world = worlds.front();
  Communicator communicator(world, Group{0});
  Buffer full = world.allocate(4);
  const std::vector<std::byte> shard(4, std::byte{1});
  const auto gather = [&] {
    communicator.all_gather(
        {shard.data(), DataType::uint8, {4}}, {full.data(), DataType::uint8, {4}}, 0);
  };
  gather();

  const pid_t child = ::fork();
  if (child == 0) {
    int refused = 0;
    refused += is_unsupported(gather) ? 1 : 0;
    refused += is_unsupported([&] { communicator.abort("from a child"); }) ? 1 : 0;
    refused += is_unsupported([&] { communicator.check(); }) ? 1 : 0;
    refused += is_unsupported([&] { world.allocate(1); }) ? 1 : 0;
    refused += is_unsupported([&] { world.exchange(Group{0}, {}); }) ? 1 : 0;
    refused += is_unsupported([&] { Communicator(world, Group{0}, {.tag = "child"}); }) ? 1 : 0;
    ::_exit(refused);
  }
  EXPECT_EQ(status_of(child), 6);
  gather();  // the parent goes on
}

TEST(AForkedChild, MayDestroyWhatItInherits) {
  const pid_t child = [] {
    std::vector<World> worlds = World::threads(2);
    const Buffer buffer = worlds[0].allocate(1000);
    return ::fork();
  }();
  if (child == 0) ::_exit(0);
  EXPECT_EQ(status_of(child), 0);
}

}  // namespace
}  // namespace muster

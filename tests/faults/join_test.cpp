// Who may join a world, and how often.
#include "faults/lesson.h"
#include "support/job.h"
#include "support/require.h"
#include "support/role.h"

#include <muster/muster.h>

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <vector>

namespace muster::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto patience = 30s;

const RegisteredRole joins("joins", [](const std::string&) {
  const auto start = Clock::now();
  try {
    World world = World::join(1s);
    world.exchange(Group::range(world.size()), {});
    tell("joined " + std::to_string(world.rank()) + " of " + std::to_string(world.size()));
  } catch (const Error& error) {
    tell(json(lesson_of(error, start)).dump());
  }
});

std::string told_by(const std::vector<std::string>& environment) {
  Process process("joins", "", environment);
  return process.line(Clock::now() + patience).value_or("nothing");
}

void expect_code(const std::string& line, const std::string& code) {
  ASSERT_TRUE(line.starts_with('{')) << line;
  EXPECT_EQ(json::parse(line).get<Lesson>().code, code) << line;
}

TEST(Join, WithoutALauncherMakesAWorldOfOne) {
  EXPECT_EQ(told_by({}), "joined 0 of 1");
}

TEST(Join, RefusesAnEnvironmentThatIsIncompleteOrWrong) {
  const RendezvousDirectory directory;
  const std::string path = "MUSTER_RENDEZVOUS=" + directory.path();
  for (const std::vector<std::string>& environment : std::vector<std::vector<std::string>>{
           {"MUSTER_RANK=0"},
           {"MUSTER_RANK=0", "MUSTER_WORLD_SIZE=2", "MUSTER_TOKEN=t"},
           {"MUSTER_RANK=2", "MUSTER_WORLD_SIZE=2", "MUSTER_TOKEN=t", path},
           {"MUSTER_RANK=-1", "MUSTER_WORLD_SIZE=2", "MUSTER_TOKEN=t", path},
           {"MUSTER_RANK=0", "MUSTER_WORLD_SIZE=0", "MUSTER_TOKEN=t", path},
           {"MUSTER_RANK=0", "MUSTER_WORLD_SIZE=129", "MUSTER_TOKEN=t", path},
           {"MUSTER_RANK=zero", "MUSTER_WORLD_SIZE=2", "MUSTER_TOKEN=t", path},
       }) {
    SCOPED_TRACE(json(environment).dump());
    expect_code(told_by(environment), "invalid_argument");
  }
}

TEST(Join, RefusesADirectoryThatOthersMayEnter) {
  const RendezvousDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  expect_code(told_by(rank_environment(0, 2, directory.path(), "t")), "invalid_argument");
}

TEST(Join, RefusesARankOfAnotherJob) {
  const RendezvousDirectory directory;
  Process mine("joins", "", rank_environment(0, 2, directory.path(), "mine"));
  Process other("joins", "", rank_environment(1, 2, directory.path(), "other"));
  const std::string refused = other.line(Clock::now() + patience).value_or("nothing");
  expect_code(refused, "mismatch");
  // The job goes on waiting for its own rank 1, which does not come.
  expect_code(mine.line(Clock::now() + patience).value_or("nothing"), "timeout");
}

TEST(Join, RefusesARankThatIsTaken) {
  const RendezvousDirectory directory;
  std::vector<Process> processes;
  for (const int rank : {0, 1, 1}) {
    processes.emplace_back("joins", "", rank_environment(rank, 2, directory.path(), "t"));
  }
  std::vector<std::string> lines;
  for (Process& process : processes) {
    lines.push_back(process.line(Clock::now() + patience).value_or("nothing"));
  }
  EXPECT_EQ(lines[0], "joined 0 of 2");
  EXPECT_EQ((lines[1] == "joined 1 of 2") + (lines[2] == "joined 1 of 2"), 1) << lines[1] << '\n'
                                                                              << lines[2];
}

TEST(Join, NamesTheRanksThatDoNotCome) {
  const RendezvousDirectory directory;
  const std::string line = told_by(rank_environment(1, 4, directory.path(), "t"));
  expect_code(line, "timeout");
  const Lesson lesson = json::parse(line).get<Lesson>();
  EXPECT_EQ(lesson.peer, 0);
  for (const char* rank : {"0", "2", "3"}) {
    EXPECT_NE(lesson.text.find(rank), std::string::npos) << line;
  }
}

void gather_in(World& world, const std::string& tag) {
  Communicator communicator(world, Group::range(world.size()), {.tag = tag});
  const auto mine = static_cast<std::uint8_t>(world.rank());
  std::vector<std::uint8_t> all(static_cast<std::size_t>(world.size()), 255);
  communicator.all_gather(
      {&mine, DataType::uint8, {1}}, {all.data(), DataType::uint8, {world.size()}}, 0);
  for (std::size_t rank = 0; rank < all.size(); ++rank) require(all[rank] == rank, "wrong bytes");
}

const RegisteredRole joins_again("joins again", [](const std::string&) {
  std::optional<World> program(World::join());
  World library = World::join();
  require(library.rank() == program->rank() && library.size() == program->size(), "another world");
  gather_in(*program, "program");
  gather_in(library, "library");
  program.reset();
  gather_in(library, "the other is gone");
  World late = World::join();
  gather_in(late, "late");
});

TEST(Join, GivesTheSameWorldToAllWhoCallItInAProcess) {
  EXPECT_EQ(Job(2, "joins again", "").wait(Clock::now() + patience), "");
}

const RegisteredRole joins_in_threads("joins in threads", [](const std::string&) {
  std::vector<std::future<World>> joining(8);
  for (auto& join : joining) join = std::async(std::launch::async, [] { return World::join(); });
  std::vector<World> worlds;
  for (auto& join : joining) worlds.push_back(join.get());
  for (std::size_t i = 0; i < worlds.size(); ++i) gather_in(worlds[i], std::to_string(i));
});

TEST(Join, MayBeCalledByManyThreadsAtOnce) {
  EXPECT_EQ(Job(2, "joins in threads", "").wait(Clock::now() + patience), "");
}

const RegisteredRole joins_after_leaving("joins after leaving", [](const std::string&) {
  { World world = World::join(); }
  const Error error =
      require_error(ErrorCode::invalid_argument, "the second join", [] { World::join(); });
  require_text(error, {"joined its world before, and left it"});
});

TEST(Join, IsRefusedToAProcessThatHasLeftItsWorld) {
  EXPECT_EQ(Job(2, "joins after leaving", "").wait(Clock::now() + patience), "");
}

const RegisteredRole joins_after_failing("joins after failing", [](const std::string& size) {
  ::setenv("MUSTER_WORLD_SIZE", "none", 1);
  require_error(ErrorCode::invalid_argument, "a wrong size", [] { World::join(); });
  ::setenv("MUSTER_WORLD_SIZE", size.c_str(), 1);
  World world = World::join();
  gather_in(world, "");
});

TEST(Join, MayBeRepeatedWhenItHasFailed) {
  EXPECT_EQ(Job(2, "joins after failing", "2").wait(Clock::now() + patience), "");
}

const RegisteredRole child_joins("child joins", [](const std::string&) {
  World world = World::join();
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      World::join();
    } catch (const Error& error) {
      ::_exit(error.code() == ErrorCode::unsupported ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  require(status == 0, "the child's status is " + std::to_string(status));
  gather_in(world, "parent");
});

TEST(Join, IsRefusedToAForkedChildOfARank) {
  EXPECT_EQ(Job(2, "child joins", "").wait(Clock::now() + patience), "");
}

}  // namespace
}  // namespace muster::test

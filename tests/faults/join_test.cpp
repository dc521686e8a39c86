// Who may join a world, and how often.
#include "faults/lesson.h"
#include "support/job.h"
#include "support/require.h"
#include "support/role.h"

#include <muster/muster.h>

#include <gtest/gtest.h>

#include <sys/stat.h>

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

const RegisteredRole joins_twice("joins twice", [](const std::string&) {
  { World world = World::join(); }
  require_error(ErrorCode::invalid_argument, "the second join", [] { World::join(); });
});

TEST(Join, IsOnceAProcess) {
  EXPECT_EQ(Job(2, "joins twice", "").wait(Clock::now() + patience), "");
}

}  // namespace
}  // namespace muster::test

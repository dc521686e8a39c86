#include "gpu/victim.h"

#include "support/job.h"
#include "support/role.h"
#include "support/timeouts.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <thread>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr auto timeout = 1500ms;       // of gathers with a rank that is stopped
constexpr auto longest_stop = 5000ms;  // how long its stream is held up
constexpr auto longest_kernel = 1000ms;
constexpr auto until_kernels_wait = 300ms;

// Tells when the kernel that waits for the victim ended.
void be_freed(Communicator& communicator, const OwnStream& stream, ErrorCode due, int victim) {
  tell("ready");
  stream.wait();
  const auto freed = Clock::now();
  const Error error = require_error(due, "check", [&] { communicator.check(); });
  require_peer(error, victim);
  tell(std::to_string(freed.time_since_epoch().count()));
}

// The driver first gives back the memory of a killed process. Where there is less, it is faster.
void take_long_to_die() {
  void* memory = nullptr;
  if (cudaMalloc(&memory, std::size_t{8} << 30) != cudaSuccess) cudaGetLastError();
}

// Its context is lost, and with it all that it could do in the next gather.
void be_faulty(int rank,
               Gathering& gathering,
               Communicator& communicator,
               const OwnStream& stream) {
  tell("ready");
  std::this_thread::sleep_for(until_kernels_wait);
  fault_by_kernel(stream);
  tell(std::to_string(Clock::now().time_since_epoch().count()));
  require_error(ErrorCode::system, "gather", [&] { gathering.enqueue(communicator); });
  const Error error = require_error(ErrorCode::system, "check", [&] { communicator.check(); });
  require_peer(error, rank);  // what all members were told
}

// The context is still good, and the memory of the dead still mapped.
void go_on(World& world, const OwnStream& stream, Communicator& communicator) {
  Gathering gathering(world, stream, 5000);
  gathering.fill(9);
  gathering.enqueue(communicator);
  gathering.expect(9);
  communicator.check();
}

// The output that a stopped rank was offered is kept from use until it answers.
void await_old_output(Gathering& gathering, Communicator& communicator, int victim) {
  const Error error = require_error(
      ErrorCode::invalid_argument, "quarantine", [&] { gathering.enqueue(communicator); });
  require_peer(error, victim);
  tell("refused");
  const auto deadline = Clock::now() + patience;
  for (;; std::this_thread::sleep_for(5ms)) {
    try {
      gathering.enqueue(communicator);
      return;
    } catch (const Error& still) {
      if (still.code() != ErrorCode::invalid_argument || Clock::now() > deadline) throw;
    }
  }
}

void line_is(Process& rank, const std::string& due, Clock::time_point deadline) {
  EXPECT_EQ(rank.line(deadline).value_or("(nothing)"), due);
}

void expect_freed(Process& rank,
                  const char* who,
                  Clock::time_point since,
                  std::chrono::milliseconds within,
                  Clock::time_point deadline) {
  const auto line = rank.line(deadline);
  ASSERT_TRUE(line) << who;
  const Clock::time_point freed{Clock::duration(std::stoll(*line))};
  const auto after = std::chrono::duration_cast<std::chrono::microseconds>(freed - since);
  std::printf("%s's kernel ended after %lld us\n", who, static_cast<long long>(after.count()));
  EXPECT_GE(after, 0us) << who;
  EXPECT_LE(after, within) << who;
}

std::string name_of(int rank) {
  return "rank " + std::to_string(rank);
}

}  // namespace

void act_beside_a_victim(const std::string& argument, const MakeOptions& options) {
  const bool stopped = argument == "stopped";
  const bool behind_a_kernel = argument == "killed behind a kernel";
  const bool faulty = argument == "faulty";
  const ErrorCode due = stopped  ? ErrorCode::timeout
                        : faulty ? ErrorCode::system
                                 : ErrorCode::peer_lost;
  World world = World::join();
  use_device_of(world);
  const Group all = Group::range(world.size());
  const int victim = world.size() - 1;
  const OwnStream stream;
  Gathering gathering(world, stream, 20000);
  std::chrono::milliseconds held_up = stopped ? scaled(longest_stop) : patience;
  {
    Communicator communicator(
        world, all, options("before", stopped ? timeout : World::default_timeout));
    for (int round = 0; round < 3; ++round) {
      gathering.fill(round);
      gathering.enqueue(communicator);
      gathering.expect(round);
    }
    if (world.rank() == victim) {
      if (faulty) return be_faulty(victim, gathering, communicator, stream);
      if (behind_a_kernel) {
        take_long_to_die();
        hold_up_by_kernel(stream, longest_kernel);
      } else {
        hold_up(stream, held_up);
      }
    }
    gathering.enqueue(communicator);
    be_freed(communicator, stream, due, victim);
  }
  if (world.rank() == victim) return;
  const Group left = world.survivors(all, 2s);
  require(!left.position(victim), "survivors " + left.to_string());
  if (behind_a_kernel) gathering.expect_nobody_writes(2 * longest_kernel);
  Communicator communicator(world, left, options("after", World::default_timeout));
  go_on(world, stream, communicator);
  if (stopped) await_old_output(gathering, communicator, victim);
  stream.wait();
  communicator.check();
  tell("went on");
}

void expect_freed_from_the_killed(int ranks,
                                  const std::string& role,
                                  std::chrono::milliseconds within,
                                  const std::string& argument) {
  Job job(ranks, role, argument);
  const auto deadline = Clock::now() + patience;
  for (int r = 0; r < ranks; ++r) line_is(job[r], "ready", deadline);
  std::this_thread::sleep_for(until_kernels_wait);
  const auto killed = Clock::now();
  job[ranks - 1].signal(SIGKILL);
  for (int r = 0; r < ranks - 1; ++r) {
    expect_freed(job[r], name_of(r).c_str(), killed, within, deadline);
    line_is(job[r], "went on", deadline);
  }
}

void expect_freed_from_the_faulty(int ranks,
                                  const std::string& role,
                                  std::chrono::milliseconds within) {
  Job job(ranks, role, "faulty");
  const auto deadline = Clock::now() + patience;
  for (int r = 0; r < ranks; ++r) line_is(job[r], "ready", deadline);
  const auto line = job[ranks - 1].line(deadline);
  ASSERT_TRUE(line) << "the victim has no fault";
  const Clock::time_point faulted{Clock::duration(std::stoll(*line))};
  for (int r = 0; r < ranks - 1; ++r) {
    expect_freed(job[r], name_of(r).c_str(), faulted, within, deadline);
    line_is(job[r], "went on", deadline);
  }
  EXPECT_EQ(job.wait(deadline), "");
}

void expect_freed_from_the_stopped(int ranks,
                                   const std::string& role,
                                   std::chrono::milliseconds within) {
  Job job(ranks, role, "stopped");
  const auto deadline = Clock::now() + patience;
  for (int r = 0; r < ranks; ++r) line_is(job[r], "ready", deadline);
  const auto waited = Clock::now();
  job[ranks - 1].signal(SIGSTOP);
  for (int r = 0; r < ranks - 1; ++r) {
    expect_freed(job[r], name_of(r).c_str(), waited, scaled(timeout) + within, deadline);
    line_is(job[r], "refused", deadline);
  }
  job[ranks - 1].signal(SIGCONT);
  for (int r = 0; r < ranks - 1; ++r) line_is(job[r], "went on", deadline);
  const auto line = job[ranks - 1].line(deadline);
  EXPECT_TRUE(line) << "the rank that was woken tells nothing";
  EXPECT_EQ(job.wait(deadline), "");
}

}  // namespace muster::test

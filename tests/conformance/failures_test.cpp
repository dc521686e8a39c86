// Failures that no rank dies of: members that disagree, leave, abort or do not come. Everyone is
// told, and whoever goes on makes a new communicator.
#include "conformance/gather.h"
#include "conformance/suite.h"
#include "support/timeouts.h"

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace muster::test {
namespace {

using namespace std::chrono_literals;

// Enough for members that do come, also when 64 of them share a core.
std::chrono::milliseconds short_timeout(const Rank& rank) {
  return scaled(rank.world.size() > 8 ? 2000ms : 400ms);
}

// A GPU takes a process a second to start, and the processes of one GPU one after the other.
void start_all(const Rank& rank) {
  static_cast<void>(rank.options("not used"));
  rank.meet();
}

Communicator whole_world(const Rank& rank,
                         const std::string& tag,
                         std::chrono::milliseconds timeout = scaled(World::default_timeout)) {
  CommunicatorOptions options = rank.options(tag);
  options.timeout = timeout;
  return Communicator(rank.world, Group::range(rank.world.size()), options);
}

void gather_plainly(const Rank& rank, Communicator& communicator) {
  gather_and_check(rank, communicator, plain_gather(communicator.group().size(), 3, 40));
}

// A failed communicator stays so, and the world does not mind.
void expect_failed_for_good(const Rank& rank, Communicator& communicator, const std::string& tag) {
  for (int again = 0; again < 3; ++again) {
    try {
      gather_plainly(rank, communicator);
    } catch (const Error&) {
      continue;
    }
    throw std::runtime_error("a failed communicator gathers again");
  }
  Communicator next = whole_world(rank, tag + ", next");
  gather_plainly(rank, next);
}

// What a member passes to all_gather_in_place.
struct Arguments {
  DataType dtype = DataType::bfloat16;
  Shape shape;
  int dim = 1;
  Section section;
};

struct Disagreement {
  std::string name;
  std::function<void(Arguments&)> spoil;  // what the last rank does
  std::vector<std::string> text;          // both sides' values
  bool blames_one = true;                 // one member is seen to differ from all others
};

void disagree(const Rank& rank, const Disagreement& about, Place place) {
  const std::int64_t size = rank.world.size();
  const auto wrong = static_cast<int>(size - 1);
  if (size == 1) return;

  Communicator communicator = whole_world(rank, about.name);
  gather_plainly(rank, communicator);
  Arguments mine{DataType::bfloat16, {8, 16 * size}, 1, {std::int64_t{16} * rank.world.rank(), 16}};
  if (rank.world.rank() == wrong) about.spoil(mine);
  const Block full = rank.memory.allocate(rank.world, place, static_cast<std::size_t>(4096 * size));

  const Error error = require_error(ErrorCode::mismatch, about.name, [&] {
    communicator.all_gather_in_place(
        {full.data, mine.dtype, mine.shape}, mine.dim, mine.section, rank.memory.stream());
    rank.memory.finish(communicator);
  });
  for (const std::string& value : about.text) require_text(error, {value});
  if (about.blames_one) {
    require_text(error, {"rank " + std::to_string(wrong)});
    require(error.peer().has_value(), "nobody is blamed in " + described(error));
    if (rank.world.rank() != wrong) require_peer(error, wrong);
  }
  expect_failed_for_good(rank, communicator, about.name);
}

std::vector<Disagreement> disagreements(int size) {
  const std::int64_t whole = std::int64_t{16} * size;
  const auto row_bytes = [](std::int64_t columns) {
    return std::to_string(2 * columns) + " bytes";
  };
  return {
      {"dtype", [](Arguments& a) { a.dtype = DataType::float16; }, {"float16", "bfloat16"}},
      {"rows",
       [=](Arguments& a) {
         a.shape = {9, whole};
       },
       {"9", "8"}},
      {"dimensions",
       [=](Arguments& a) {
         a.shape = {8, whole, 1};
       },
       {"1"}},
      {"gathered dimension",
       [=](Arguments& a) {
         a.dim = 0;
         a.section = {0, 1};
       },
       {"dimension 0", "dimension 1"}},
      {"sum of sections",
       [=](Arguments& a) { a.section.extent = 15; },
       {row_bytes(whole), row_bytes(whole - 1)},
       false},
      {"place of a section", [](Arguments& a) { a.section.offset -= 1; }, {}},
  };
}

CONFORMANCE_TEST(TellsAllMembersWhatTheyDisagreeAbout) {
  for (const Disagreement& about : disagreements(rank.world.size())) {
    disagree(rank, about, Place::ordinary);
  }
}

CONFORMANCE_TEST(TellsAllMembersWhatTheyDisagreeAboutBeforeAByteMoves) {
  for (const Disagreement& about : disagreements(rank.world.size())) {
    disagree(rank, about, Place::buffer);
  }
}

// Headers that have been agreed on are not checked again, unless one of them changes.
CONFORMANCE_TEST(TellsAllMembersOfADisagreementAfterManyEqualCalls) {
  const std::int64_t size = rank.world.size();
  if (size == 1) return;
  Communicator communicator = whole_world(rank, "many equal calls");
  const auto bytes = static_cast<std::size_t>(1024 * size);
  const Block shard = rank.memory.allocate(rank.world, Place::ordinary, 1024);
  const Block full = rank.memory.allocate(rank.world, Place::buffer, bytes);
  const auto gather = [&](std::int64_t columns) {
    communicator.all_gather({shard.data, DataType::uint8, {8, columns}},
                            {full.data, DataType::uint8, {8, 128 * size}},
                            1,
                            rank.memory.stream());
    rank.memory.finish(communicator);
  };
  for (int round = 0; round < 20; ++round) gather(128);
  const Error error = require_error(ErrorCode::mismatch, "many equal calls", [&] {
    gather(rank.world.rank() == size - 1 ? 127 : 128);
  });
  require_text(error, {"sections"});
  expect_failed_for_good(rank, communicator, "many equal calls");
}

void disagree_about_transports(Rank& rank, const std::string& tag) {
  const int size = rank.world.size();
  CommunicatorOptions options = rank.options(tag);
  options.timeout = scaled(5s);
  if (rank.world.rank() == size / 2) {
    const bool is_chosen = options.transport != muster::Transport::automatic;
    const bool on_cpu = options.device.kind() == Device::Kind::cpu;
    options.transport = is_chosen ? muster::Transport::automatic
                        : on_cpu  ? muster::Transport::shm
                                  : muster::Transport::cuda;
  }
  const Error error = require_error(ErrorCode::mismatch, "transports", [&] {
    Communicator communicator(rank.world, Group::range(size), options);
  });
  require_text(error, {"has chosen another transport"});
}

// Who finds it first must not go before the others have heard of all members' choices.
CONFORMANCE_TEST(TellsAllMembersThatOneHasChosenAnotherTransport) {
  if (rank.world.size() == 1) return;
  const int rounds = rank.memory.communicators(rank.world.size() > 8 ? 20 : 200);
  for (int round = 0; round < rounds; ++round) disagree_about_transports(rank, "choice");
  Communicator next = whole_world(rank, "choice");
  gather_plainly(rank, next);
}

CONFORMANCE_TEST(TellsAllMembersThatATagHasAnotherGroup) {
  const int size = rank.world.size();
  if (size == 1) return;
  std::vector<int> ranks;
  for (int r = 0; r < size; ++r) ranks.push_back(r);
  if (rank.world.rank() == size - 1) std::swap(ranks[0], ranks[1]);

  // What is left of an earlier meeting under the tag is no meeting.
  disagree_about_transports(rank, "one tag");
  CommunicatorOptions options = rank.options("one tag");
  options.timeout = 5s;
  const Error error = require_error(ErrorCode::mismatch, "groups", [&] {
    Communicator communicator(rank.world, Group(ranks), options);
  });
  require_text(error, {"one tag", "[0,1", "[1,0"});

  Communicator next = whole_world(rank, "another tag");
  gather_plainly(rank, next);
}

CONFORMANCE_TEST(TellsAllMembersOfAnAbort) {
  const int size = rank.world.size();
  const int aborting = size / 2;
  Communicator communicator = whole_world(rank, "abort");
  gather_plainly(rank, communicator);
  rank.meet();  // an abort may reach a member that is still in its last call
  const auto gather = [&] { gather_plainly(rank, communicator); };
  if (rank.world.rank() == aborting) communicator.abort("the tokenizer has run dry");
  const Error error = require_error(ErrorCode::peer_lost, "gather", gather);
  require_text(error, {"the tokenizer has run dry"});
  require_peer(error, aborting);
  require_error(ErrorCode::peer_lost, "check", [&] { communicator.check(); });
  communicator.abort("again");  // changes nothing
  expect_failed_for_good(rank, communicator, "abort");
}

CONFORMANCE_TEST(CanBeAbortedByAnotherThreadWhileItWaits) {
  // Rank 0 never gathers: without the abort the others would wait for half a minute.
  Communicator communicator = whole_world(rank, "abort from a thread");
  if (rank.world.size() > 1) {
    std::thread aborting;
    if (rank.world.rank() == rank.world.size() - 1) {
      aborting = std::thread([&] {
        std::this_thread::sleep_for(50ms);
        communicator.abort("no more input");
      });
    }
    if (rank.world.rank() != 0) {
      const Error error = require_error(
          ErrorCode::peer_lost, "gather", [&] { gather_plainly(rank, communicator); });
      require_text(error, {"no more input"});
      require_peer(error, rank.world.size() - 1);
    }
    if (aborting.joinable()) aborting.join();
  }
  rank.meet();
}

CONFORMANCE_TEST(SaysThatAMemberHasLeft) {
  const int size = rank.world.size();
  if (size == 1) return;
  const int leaving = size - 1;
  {
    Communicator communicator = whole_world(rank, "left");
    gather_plainly(rank, communicator);
    rank.meet();  // whoever calls again fails those that are still in their last call
    if (rank.world.rank() != leaving) {
      const Error error = require_error(
          ErrorCode::peer_lost, "gather", [&] { gather_plainly(rank, communicator); });
      require_text(error, {"left"});
      require_peer(error, leaving);
    }
  }
  Communicator next = whole_world(rank, "left, next");
  gather_plainly(rank, next);
}

CONFORMANCE_TEST(LetsAMemberLeaveRightAfterItsLastGather) {
  const int rounds = rank.memory.communicators(rank.world.size() > 8 ? 10 : 100);
  for (int round = 0; round < rounds; ++round) {
    Communicator communicator = whole_world(rank, "last");
    Gather gather = plain_gather(rank.world.size(), 2, round % 2 ? 48 : 100000 / rank.world.size());
    for (Part& part : gather.parts) {
      part.shard_place = round % 3 == 0 ? Place::buffer : Place::ordinary;
      part.full_place = round % 3 == 1 ? Place::buffer : Place::ordinary;
    }
    gather_and_check(rank, communicator, gather);
  }
}

CONFORMANCE_TEST(NamesTheMemberThatDoesNotGather) {
  const int size = rank.world.size();
  if (size == 1) return;
  const int absent = size / 2;
  start_all(rank);
  Communicator communicator = whole_world(rank, "absent", short_timeout(rank));
  const auto start = std::chrono::steady_clock::now();  // nobody is in the next gather yet
  gather_plainly(rank, communicator);
  if (rank.world.rank() == absent) std::this_thread::sleep_for(3 * short_timeout(rank));

  const Error error =
      require_error(ErrorCode::timeout, "gather", [&] { gather_plainly(rank, communicator); });
  require_peer(error, absent);
  require_text(error, {"rank " + std::to_string(absent)});
  require(std::chrono::steady_clock::now() - start >= short_timeout(rank), "too early");
  expect_failed_for_good(rank, communicator, "absent");
}

CONFORMANCE_TEST(WaitsForEverIfToldTo) {
  for (const auto timeout :
       {std::chrono::milliseconds::max(), std::chrono::milliseconds(300 * 8760h)}) {
    Communicator communicator = whole_world(rank, "for ever", timeout);
    for (int gather = 0; gather < 3; ++gather) gather_plainly(rank, communicator);
    communicator.check();
  }
  Communicator next = whole_world(rank, "for ever");
  gather_plainly(rank, next);
}

CONFORMANCE_TEST(NamesAllMembersThatDoNotGather) {
  const int size = rank.world.size();
  if (size < 3) return;
  start_all(rank);
  Communicator communicator = whole_world(rank, "absent", short_timeout(rank));
  const bool absent = rank.world.rank() == 0 || rank.world.rank() == 2;
  if (!absent) {
    const Error error =
        require_error(ErrorCode::timeout, "gather", [&] { gather_plainly(rank, communicator); });
    require_peer(error, 0);
    require_text(error, {"0", "2"});
  }
  rank.meet();
}

CONFORMANCE_TEST(NamesTheMemberThatDoesNotMakeTheCommunicator) {
  const int size = rank.world.size();
  if (size == 1) return;
  const int absent = size - 1;
  start_all(rank);
  if (rank.world.rank() != absent) {
    const Error error = require_error(ErrorCode::timeout, "communicator", [&] {
      whole_world(rank, "never made", short_timeout(rank));
    });
    require_peer(error, absent);
    require_text(error, {"never made", "rank " + std::to_string(absent)});
  }
  rank.meet();
  Communicator next = whole_world(rank, "made");
  gather_plainly(rank, next);
}

}  // namespace
}  // namespace muster::test

#include "world/rendezvous.h"

#include "child.h"
#include "support/errors.h"
#include "world/hello.h"
#include "world/system_error.h"
#include "world/unix_socket.h"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::world {
namespace {

using namespace std::chrono_literals;
using test::AllOf;
using test::Child;
using test::HasSubstr;
using test::Outcome;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds patience = 30s;
constexpr uid_t ordinary_user = 65533;  // whom the tests become when they run as root

void require(bool condition, const std::string& otherwise) {
  if (!condition) throw std::runtime_error(otherwise);
}

void require_system(bool condition, const char* call) {
  if (!condition) throw system_error(call, errno);
}

std::size_t open_descriptors() {
  using Entries = std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(Entries("/proc/self/fd"), Entries()));
}

// A directory to make rendezvous directories in.
class Place {
 public:
  Place() {
    std::string pattern = std::filesystem::temp_directory_path() / "muster-test-XXXXXX";
    require_system(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    root_ = pattern;
  }
  ~Place() { std::filesystem::remove_all(root_); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  std::filesystem::path root() const { return root_; }
  std::filesystem::path job() const { return root_ / "job"; }
  bool is_empty() const { return std::filesystem::is_empty(root_); }
  void give_to(uid_t user) const {
    require_system(::chown(root_.c_str(), user, user) == 0, "chown");
  }

 private:
  std::filesystem::path root_;
};

std::size_t arena_bytes_of(int rank) {
  return 4096 * (static_cast<std::size_t>(rank) + 1);
}

// Memory whose first byte is the rank and whose size differs between ranks.
UniqueFd make_arena(int rank) {
  UniqueFd arena(::memfd_create("test arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  require_system(bool(arena), "memfd_create");
  const auto mark = static_cast<std::byte>(rank);
  require_system(::pwrite(arena.get(), &mark, 1, 0) == 1, "pwrite");
  require_system(::ftruncate(arena.get(), static_cast<off_t>(arena_bytes_of(rank))) == 0,
                 "ftruncate");
  require_system(::fcntl(arena.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0, "F_ADD_SEALS");
  return arena;
}

struct Job {
  std::filesystem::path directory;
  int size = 2;
  std::string token = "job";
};

std::vector<PeerLink> meet_as(int rank, const Job& job, std::chrono::milliseconds timeout) {
  const UniqueFd arena = make_arena(rank);
  return meet({.rank = rank, .size = job.size, .rendezvous = job.directory, .token = job.token},
              arena.get(),
              arena_bytes_of(rank),
              Clock::now() + timeout);
}

void require_link(const PeerLink& link, int peer) {
  const std::string who = "rank " + std::to_string(peer);
  require(bool(link.socket), who + " has no socket");
  require(link.pid > 0, who + " has no process");
  require(bool(link.pidfd), who + " has no pidfd");
  require(link.arena_bytes == arena_bytes_of(peer), who + "'s arena has another size");
  std::byte mark{};
  require(::pread(link.arena.get(), &mark, 1, 0) == 1 && mark == static_cast<std::byte>(peer),
          who + "'s arena is another's");
  for (const UniqueFd* fd : {&link.socket, &link.pidfd, &link.arena})
    require((::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC) != 0, who + " has a leaking descriptor");
}

// The whole life of a well-behaved rank. Throws when anything is not as promised.
void join(int rank, const Job& job, std::chrono::milliseconds timeout = patience) {
  const std::vector<PeerLink> links = meet_as(rank, job, timeout);
  require(links.size() == static_cast<std::size_t>(job.size), "there are other ranks");
  for (int peer = 0; peer < job.size; ++peer) {
    if (peer != rank) require_link(links[static_cast<std::size_t>(peer)], peer);
  }
  require(!links[static_cast<std::size_t>(rank)].socket, "a rank has a link to itself");
}

Child start(int rank, const Job& job, std::chrono::milliseconds timeout = patience) {
  return Child([&] { join(rank, job, timeout); });
}

std::vector<Child> start_all(const Job& job, std::chrono::milliseconds timeout = patience) {
  std::vector<Child> ranks;
  for (int rank = 0; rank < job.size; ++rank) ranks.push_back(start(rank, job, timeout));
  return ranks;
}

void expect_success(std::vector<Child>& ranks) {
  for (Child& rank : ranks) {
    const Outcome outcome = rank.wait();
    EXPECT_TRUE(outcome.succeeded()) << outcome.text;
  }
}

// A connection that follows no rules.
class Stranger {
 public:
  Stranger(const Job& job, int host) {
    const UniqueFd directory(::open(job.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    socket_ = connect_in(directory.get(), std::to_string(host)).socket;
    require_system(bool(socket_), "connect");
  }

  void say(std::span<const std::byte> bytes, int descriptor = -1) {
    const int error = send(socket_.get(), bytes, descriptor);
    if (error != 0) throw system_error("send", error);
  }
  void say(const Hello& hello, int descriptor = -1) { say(format_hello(hello), descriptor); }

  // The host's next message; it is_end() when the host has hung up.
  Message hear() {
    pollfd readable{socket_.get(), POLLIN, 0};
    require(::poll(&readable, 1, static_cast<int>(patience.count())) == 1, "no answer");
    std::optional<Message> message = receive(socket_.get());
    require(message.has_value(), "no message");
    return std::move(*message);
  }

 private:
  UniqueFd socket_;
};

void wait_for_host(const Job& job, int host) {
  const auto deadline = Clock::now() + patience;
  while (true) {
    try {
      const Stranger caller(job, host);
      return;
    } catch (const Error&) {
      if (Clock::now() > deadline) throw;
      std::this_thread::sleep_for(1ms);
    }
  }
}

Hello hello_to(const Job& job, int rank) {
  return {.rank = rank, .size = job.size, .arena_bytes = arena_bytes_of(rank), .token = job.token};
}

class RendezvousOf : public ::testing::TestWithParam<int> {
 protected:
  const Place place;
};

TEST_P(RendezvousOf, ItsRanksGivesEachTheArenasOfAllOthersAndLeavesNothing) {
  std::vector<Child> ranks = start_all({.directory = place.job(), .size = GetParam()});
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

INSTANTIATE_TEST_SUITE_P(Ranks, RendezvousOf, ::testing::Values(1, 2, 3, 8, 64, 128));

class Rendezvous : public ::testing::Test {
 protected:
  Job job(int size) const { return {.directory = place.job(), .size = size}; }

  const Place place;
};

TEST_F(Rendezvous, AlsoServesThreadsOfOneProcess) {
  const Job world = job(8);
  std::vector<Outcome> outcomes(8);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world.size; ++rank) {
    ranks.emplace_back([&, rank] {
      outcomes[static_cast<std::size_t>(rank)] = test::outcome_of([&] { join(rank, world); });
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.succeeded()) << outcome.text;
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, WaitsForRanksThatComeLateInAnyOrder) {
  const Job world = job(4);
  std::vector<Child> ranks;
  for (int rank : {2, 0, 3, 1}) {
    ranks.push_back(start(rank, world));
    std::this_thread::sleep_for(30ms);
  }
  expect_success(ranks);
}

TEST_F(Rendezvous, UsesThreeDescriptorsAPeerAndGivesThemBack) {
  const Job world = job(3);
  std::vector<Child> others;
  for (int rank : {0, 2}) others.push_back(start(rank, world));
  const std::size_t before = open_descriptors();
  {
    const std::vector<PeerLink> links = meet_as(1, world, patience);
    EXPECT_EQ(open_descriptors(), before + 6);
  }
  EXPECT_EQ(open_descriptors(), before);
  expect_success(others);
}

TEST_F(Rendezvous, WorksInADirectoryWhosePathIsLongerThanASocketAddress) {
  Job world = job(2);
  world.directory = place.root() / std::string(200, 'd');
  std::vector<Child> ranks = start_all(world);
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, RefusesADirectoryThatOthersMayUse) {
  for (mode_t mode : {0750U, 0701U, 0777U}) {
    std::filesystem::create_directory(place.job());
    ::chmod(place.job().c_str(), mode);
    const Error error = test::thrown_by([&] { join(0, job(2)); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(place.job().string()), HasSubstr("chmod")));
    EXPECT_TRUE(std::filesystem::exists(place.job()));
  }
}

TEST_F(Rendezvous, RefusesADirectoryWithoutParentAndAFile) {
  for (const char* path : {"/proc/self/exe", "/nowhere/job"}) {
    const Error error = test::thrown_by([&] { join(0, {.directory = path, .token = "job"}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(path));
  }
}

TEST_F(Rendezvous, NamesTheProcessThatHasTheRank) {
  const Job world = job(3);
  std::vector<Child> ranks;
  ranks.push_back(start(1, world));
  wait_for_host(world, 1);
  const Error error = test::thrown_by([&] { join(1, world); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(),
              HasSubstr("rank 1 is taken by process " + std::to_string(ranks[0].pid())));
  for (int rank : {0, 2}) ranks.push_back(start(rank, world));
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, RefusesASecondVisitorOfTheSameRank) {
  const Job world = job(3);
  std::vector<Child> ranks;
  ranks.push_back(start(0, world));
  wait_for_host(world, 0);
  Stranger first(world, 0);
  first.say(hello_to(world, 2));
  EXPECT_EQ(parse_hello(first.hear().payload())->verdict, Verdict::welcome);

  const Outcome second = start(2, world).wait();
  EXPECT_TRUE(second.failed_with(ErrorCode::invalid_argument));
  EXPECT_THAT(second.text, HasSubstr("rank 2 is taken by process " + std::to_string(::getpid())));

  first = Stranger(world, 0);  // the first has gone, so its rank is free again
  for (int rank : {1, 2}) ranks.push_back(start(rank, world));
  expect_success(ranks);
}

TEST_F(Rendezvous, TurnsAwayRanksOfAnotherTokenOrSizeAndGoesOn) {
  const Job world = job(2);
  std::vector<Child> ranks;
  ranks.push_back(start(0, world));
  wait_for_host(world, 0);

  Job other_token = world;
  other_token.token = std::string(256, 't');
  const Outcome stranger = start(1, other_token).wait();
  EXPECT_TRUE(stranger.failed_with(ErrorCode::mismatch));
  EXPECT_EQ(stranger.peer, 0);
  EXPECT_THAT(stranger.text, AllOf(HasSubstr("\"job\""), HasSubstr(other_token.token)));

  Job other_size = world;
  other_size.size = 3;
  const Outcome misfit = start(1, other_size).wait();
  EXPECT_TRUE(misfit.failed_with(ErrorCode::mismatch));
  EXPECT_THAT(misfit.text,
              AllOf(HasSubstr("rank 1 has a world of 3"), HasSubstr("rank 0 a world of 2")));

  ranks.push_back(start(1, world));
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, AnswersStrangersWithItsVerdictAndHangsUp) {
  const Job world = job(3);
  std::vector<Child> ranks;
  ranks.push_back(start(1, world));
  wait_for_host(world, 1);
  const auto verdict_on = [&](const Hello& hello) {
    Stranger stranger(world, 1);
    stranger.say(hello);
    const Message answer = stranger.hear();
    EXPECT_TRUE(answer.descriptors.empty());
    EXPECT_TRUE(stranger.hear().is_end());
    return parse_hello(answer.payload()).value().verdict;
  };
  Hello newer = hello_to(world, 2);
  newer.version = protocol_version + 1;
  EXPECT_EQ(verdict_on(newer), Verdict::other_version);
  EXPECT_EQ(verdict_on(hello_to(world, 0)), Verdict::rank_outside);
  EXPECT_EQ(verdict_on(hello_to(world, 1)), Verdict::rank_taken);
  EXPECT_EQ(verdict_on(hello_to(world, 3)), Verdict::rank_outside);
  EXPECT_EQ(verdict_on(hello_to(world, -1)), Verdict::rank_outside);

  for (int rank : {0, 2}) ranks.push_back(start(rank, world));
  expect_success(ranks);
}

TEST_F(Rendezvous, IsNotDisturbedBySilenceOrGarbage) {
  const Job world = job(3);
  std::vector<Child> ranks;
  ranks.push_back(start(0, world));
  wait_for_host(world, 0);
  std::vector<Stranger> silent;
  for (int i = 0; i < 200; ++i) silent.emplace_back(world, 0);
  const std::vector<std::byte> garbage(5000, std::byte{0x5a});
  for (std::size_t bytes : {0, 1, 295, 296, 297, 512, 5000}) {
    Stranger stranger(world, 0);
    stranger.say(std::span(garbage).first(bytes));
    EXPECT_TRUE(stranger.hear().is_end());
  }
  for (int rank : {1, 2}) ranks.push_back(start(rank, world));
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, TurnsAwayWhatIsNotTheAnnouncedArena) {
  const Job world = job(2);
  std::vector<Child> ranks;
  ranks.push_back(start(0, world));
  wait_for_host(world, 0);
  const UniqueFd unsealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), static_cast<off_t>(arena_bytes_of(1))), 0);
  const UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd of_another_size = make_arena(5);
  for (int descriptor : {-1, unsealed.get(), file.get(), of_another_size.get()}) {
    Stranger stranger(world, 0);
    stranger.say(hello_to(world, 1));
    EXPECT_EQ(stranger.hear().descriptors.size(), 1U);
    stranger.say(hello_to(world, 1), descriptor);
    EXPECT_TRUE(stranger.hear().is_end());
  }
  ranks.push_back(start(1, world));
  expect_success(ranks);
}

TEST_F(Rendezvous, SweepsTheSocketOfAKilledRank) {
  const Job world = job(2);
  {
    const Child killed = start(0, world);
    wait_for_host(world, 0);
  }
  EXPECT_TRUE(std::filesystem::exists(world.directory / "0"));
  std::vector<Child> ranks = start_all(world);
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, DoesNotRemoveWhatIsNoSocket) {
  std::filesystem::create_directories(place.job() / "0");
  ::chmod(place.job().c_str(), 0700);
  EXPECT_EQ(test::thrown_by([&] { join(0, job(2)); }).code(), ErrorCode::system);
  EXPECT_TRUE(std::filesystem::exists(place.job() / "0"));
}

TEST_F(Rendezvous, TimesOutNamingTheRanksThatDidNotCome) {
  const Job world = job(4);
  const auto begin = Clock::now();
  std::vector<Child> ranks;
  for (int rank : {0, 2}) ranks.push_back(start(rank, world, 1s));
  for (Child& rank : ranks) {
    const Outcome outcome = rank.wait();
    EXPECT_TRUE(outcome.failed_with(ErrorCode::timeout)) << outcome.text;
    EXPECT_EQ(outcome.peer, 1);
    EXPECT_THAT(outcome.text,
                AllOf(HasSubstr("rank 1 has not come, rank 3 has not come"),
                      HasSubstr(place.job().string()),
                      HasSubstr("muster run -n 4")));
  }
  EXPECT_GE(Clock::now() - begin, 1s);
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, TimesOutNamingAStoppedRank) {
  const Job world = job(3);
  std::vector<Child> ranks;
  ranks.push_back(start(0, world, 1500ms));
  wait_for_host(world, 0);
  ranks[0].signal(SIGSTOP);
  ranks.push_back(start(1, world, 500ms));
  Outcome outcome = ranks[1].wait();
  EXPECT_TRUE(outcome.failed_with(ErrorCode::timeout)) << outcome.text;
  EXPECT_EQ(outcome.peer, 0);
  EXPECT_THAT(
      outcome.text,
      AllOf(HasSubstr("rank 0 (process " + std::to_string(ranks[0].pid()) + ") does not go on"),
            HasSubstr("rank 2 has not come")));

  ranks[0].signal(SIGCONT);
  outcome = ranks[0].wait();
  EXPECT_TRUE(outcome.failed_with(ErrorCode::timeout)) << outcome.text;
  EXPECT_TRUE(place.is_empty());
}

TEST_F(Rendezvous, SaysInATimeoutWhomItTurnedAway) {
  const Job world = job(2);
  Child host = start(0, world, 1s);
  wait_for_host(world, 0);
  Hello other = hello_to(world, 1);
  other.token = "other";
  Stranger(world, 0).say(other);
  EXPECT_THAT(host.wait().text, HasSubstr(R"(turned away: rank 1 belongs to job "other")"));
}

TEST_F(Rendezvous, LeavesNothingOfARankThatWasKilledMeanwhile) {
  const Job world = job(3);
  Child survivor = start(0, world, 1s);
  {
    const Child killed = start(1, world);
    wait_for_host(world, 1);
  }
  const Outcome outcome = survivor.wait();
  EXPECT_TRUE(outcome.failed_with(ErrorCode::timeout)) << outcome.text;
  EXPECT_TRUE(place.is_empty());
}

// Runs out of descriptors at every one that is needed, in either role of the handshake.
TEST_F(Rendezvous, WithoutDescriptorsFailsWithTheLimitAndLeaksNothing) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan, built in with ASan, needs descriptors itself to look at an object's type";
#endif
  for (int rank : {0, 1}) {
    const auto deadline = Clock::now() + patience;
    int failures = 0;
    for (rlim_t spare = 0;; ++spare) {
      const Job world = job(2);
      const Child peer = start(1 - rank, world);
      const Outcome outcome =
          Child([&] {
            const UniqueFd arena = make_arena(rank);
            const std::size_t before = open_descriptors();
            const int first_free = ::dup(arena.get());
            ::close(first_free);
            rlimit limit{};
            ::getrlimit(RLIMIT_NOFILE, &limit);
            const rlimit tight{static_cast<rlim_t>(first_free) + spare, limit.rlim_max};
            require_system(::setrlimit(RLIMIT_NOFILE, &tight) == 0, "setrlimit");
            const Outcome met = test::outcome_of([&] {
              meet({rank, 2, world.directory, "job"}, arena.get(), arena_bytes_of(rank), deadline);
            });
            require_system(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
            require(met.succeeded() || open_descriptors() == before, "leaked after: " + met.text);
            if (!met.succeeded()) throw Error(met.code, met.text);
          }).wait();
      if (outcome.succeeded()) break;
      ++failures;
      ASSERT_TRUE(outcome.failed_with(ErrorCode::system)) << outcome.text;
      EXPECT_THAT(outcome.text, AllOf(HasSubstr("ran out of descriptors"), HasSubstr("ulimit")));
    }
    EXPECT_GE(failures, 4);
  }
}

class RendezvousOfUsers : public Rendezvous {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can act as several users";
    place.give_to(ordinary_user);
  }

  static Child start_as(uid_t user, const std::function<void()>& body) {
    return Child([&] {
      require_system(::setresgid(user, user, user) == 0, "setresgid");
      require_system(::setresuid(user, user, user) == 0, "setresuid");
      body();
    });
  }
};

TEST_F(RendezvousOfUsers, RefusesAnotherUsersDirectory) {
  const Job world = job(2);
  const Child owner = start_as(ordinary_user, [&] { join(0, world); });
  wait_for_host(world, 0);
  const Error error = test::thrown_by([&] { join(1, world); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), HasSubstr("belongs to user 65533, this process runs as user 0"));

  Child stranger = start_as(1000, [&] { join(1, world); });
  EXPECT_TRUE(stranger.wait().failed_with(ErrorCode::invalid_argument));
}

TEST_F(RendezvousOfUsers, HangsUpOnAVisitorOfAnotherUser) {
  const Job world = job(2);
  std::vector<Child> ranks;
  ranks.push_back(start_as(ordinary_user, [&] { join(0, world); }));
  wait_for_host(world, 0);
  Stranger root(world, 0);
  try {
    root.say(hello_to(world, 1));
  } catch (const Error&) {
    // The host may have hung up before a word was said.
  }
  EXPECT_TRUE(root.hear().is_end());
  ranks.push_back(start_as(ordinary_user, [&] { join(1, world); }));
  expect_success(ranks);
}

TEST_F(RendezvousOfUsers, RefusesAHostOfAnotherUser) {
  const Job world = job(2);
  Child visitor = start_as(ordinary_user, [&] { join(1, world); });
  wait_for_host(world, 1);
  const UniqueFd directory(::open(world.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const mode_t mask = ::umask(0);
  const SocketOrError root = listen_in(directory.get(), "0");
  ::umask(mask);
  ASSERT_TRUE(root.socket);
  const Outcome outcome = visitor.wait();
  EXPECT_TRUE(outcome.failed_with(ErrorCode::mismatch)) << outcome.text;
  EXPECT_EQ(outcome.peer, 0);
  EXPECT_THAT(outcome.text, HasSubstr("is of user 0, this rank of user 65533"));
}

TEST_F(RendezvousOfUsers, RefusesTheUserThatStandsForAllWithoutAnId) {
  place.give_to(65534);
  const Outcome outcome = start_as(65534, [&] { join(0, job(2)); }).wait();
  EXPECT_TRUE(outcome.failed_with(ErrorCode::invalid_argument)) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("user 65534"));
}

// The kernel limits an ordinary user's descriptors in flight to RLIMIT_NOFILE; here are 2016 pairs.
TEST_F(RendezvousOfUsers, NeedsFewDescriptorsInFlight) {
  const Job world = job(64);
  std::vector<Child> ranks;
  for (int rank = 0; rank < world.size; ++rank) {
    ranks.push_back(start_as(ordinary_user, [&] {
      const rlimit few{300, 300};
      require_system(::setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
      join(rank, world);
    }));
  }
  expect_success(ranks);
  EXPECT_TRUE(place.is_empty());
}

}  // namespace
}  // namespace muster::world

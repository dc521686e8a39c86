#include "world/rendezvous.h"

#include "world/hello.h"
#include "world/rendezvous_directory.h"
#include "world/system_error.h"
#include "world/unix_socket.h"

#include <muster/error.h>
#include <muster/world.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace muster::world {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds shortest_pause{1};
constexpr Milliseconds longest_pause{16};

// Connections that have not said who they are; then the oldest has to go. An honest one calls
// again.
constexpr std::ptrdiff_t max_strangers = World::max_size;

// What user ids without a place in this user namespace look like (user_namespaces(7)): it may stand
// for anybody.
uid_t overflow_uid() {
  uid_t uid = 65534;
  std::ifstream("/proc/sys/kernel/overflowuid") >> uid;
  return uid;
}

void require_own_user_id() {
  if (::geteuid() == overflow_uid())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("join: this process runs as user {}, which stands for every user that "
                            "has no id here; run it as a user of its own",
                            ::geteuid()));
}

// Why a peer is not to be trusted; empty when it is.
std::string fault_of_user(const ucred& peer) {
  if (peer.uid == ::geteuid()) return {};
  return fmt::format(
      "{} is of user {}, this rank of user {}", process_name(peer.pid), peer.uid, ::geteuid());
}

// Empty where the kernel or a sandbox does not have pidfd_open(2). A peer that goes on to talk was
// alive, so that its number cannot have passed to another process before this call.
UniqueFd open_pidfd(pid_t pid) {
  if (pid <= 0) return {};
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd && (errno == EMFILE || errno == ENFILE)) throw system_error("open a pidfd", errno);
  return pidfd;
}

// Why what came with a message is not the arena that was announced; empty when it is.
std::string fault_of_arena(const Message& message, std::size_t announced_bytes) {
  if (message.descriptors.size() != 1)
    return fmt::format("came with {} descriptors, not 1", message.descriptors.size());
  const int fd = message.descriptors.front().get();
  const int seals = ::fcntl(fd, F_GET_SEALS);  // fails for what is no memfd
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return "is no memory sealed against shrinking";
  struct stat status {};
  if (::fstat(fd, &status) != 0 || static_cast<std::size_t>(status.st_size) != announced_bytes)
    return fmt::format("has {} bytes, {} were announced", status.st_size, announced_bytes);
  return {};
}

// One connection on its way to become a link. The host is the lower rank of the two:
//
//   visitor                       host
//   its hello             ->
//                         <-      its hello with its arena, or with a verdict why not
//   its hello, its arena  ->
//
// Nobody sends an arena unasked, so that few descriptors are in flight.
struct Conversation {
  enum class Step { hear_hello, give_answer, hear_arena, hear_answer, give_arena, over };

  Step step;
  std::optional<int> rank;  // of the peer; a visitor's is not known before its hello
  PeerLink link;

  bool gives() const { return step == Step::give_answer || step == Step::give_arena; }
};
using Step = Conversation::Step;

// Talks with all peers at once; nobody is waited for alone.
class Rendezvous {
 public:
  Rendezvous(const RendezvousDirectory& directory,
             const LauncherEnvironment& environment,
             int arena_fd,
             std::size_t arena_bytes,
             Clock::time_point deadline)
      : directory_(directory),
        arena_fd_(arena_fd),
        deadline_(deadline),
        hello_{.rank = environment.rank,
               .size = environment.size,
               .arena_bytes = arena_bytes,
               .token = environment.token},
        links_(static_cast<std::size_t>(environment.size)) {}

  std::vector<PeerLink> run();

 private:
  void call_lower_ranks();
  void call(int rank);
  void wait();
  Milliseconds time_to_wait();
  void accept_visitors();
  void make_room();

  void give(Conversation& c);
  void hear(Conversation& c);
  void hear_hello(Conversation& c, const Message& message);
  void hear_answer(Conversation& c, Message& message);
  void hear_arena(Conversation& c, Message& message);
  void turn_away(Conversation& c, const std::string& reason);

  bool is_linked(int rank) const { return bool(links_[static_cast<std::size_t>(rank)].socket); }
  std::optional<pid_t> holder_of(int rank) const;
  std::vector<int> missing() const;
  Error failure(ErrorCode code, const std::string& reason, std::optional<int> peer) const;
  Error timeout_error() const;

  const RendezvousDirectory& directory_;
  const int arena_fd_;
  const Clock::time_point begin_ = Clock::now();
  const Clock::time_point deadline_;
  const Hello hello_;

  std::vector<PeerLink> links_;  // by rank
  std::vector<Conversation> conversations_;
  Clock::time_point next_call_ = begin_;
  Milliseconds pause_ = shortest_pause;
  std::string turned_away_;  // the last visitor's fault, for the message of a timeout
};

std::vector<PeerLink> Rendezvous::run() {
  while (true) {
    call_lower_ranks();
    for (Conversation& c : conversations_) {
      if (c.gives()) give(c);
    }
    std::erase_if(conversations_, [](const Conversation& c) { return c.step == Step::over; });
    if (missing().empty()) return std::move(links_);
    if (Clock::now() >= deadline_) throw timeout_error();
    wait();
  }
}

void Rendezvous::call_lower_ranks() {
  if (Clock::now() < next_call_) return;
  for (int rank = 0; rank < hello_.rank; ++rank) {
    if (!holder_of(rank)) call(rank);
  }
  next_call_ = Clock::now() + pause_;
}

void Rendezvous::call(int rank) {
  SocketOrError host = directory_.call(rank);
  const int error = host.error_number;
  if (error == ENOENT || error == ECONNREFUSED || error == EAGAIN) return;  // not there yet
  if (error != 0) throw system_error(fmt::format("connect to rank {}", rank), error);

  const ucred peer = peer_credentials(host.socket.get());
  if (const std::string fault = fault_of_user(peer); !fault.empty())
    throw failure(ErrorCode::mismatch, fmt::format("rank {}: {}", rank, fault), rank);
  if (send(host.socket.get(), format_hello(hello_)) != 0) return;  // it has left: call again
  conversations_.push_back({Step::hear_answer,
                            rank,
                            {.socket = std::move(host.socket),
                             .pidfd = open_pidfd(peer.pid),
                             .arena = {},
                             .pid = peer.pid}});
}

void Rendezvous::wait() {
  std::vector<pollfd> polled;
  for (const Conversation& c : conversations_)
    polled.push_back({c.gives() ? -1 : c.link.socket.get(), POLLIN, 0});  // -1 is passed over
  polled.push_back({directory_.listener(), POLLIN, 0});
  const int ready = ::poll(polled.data(), polled.size(), static_cast<int>(time_to_wait().count()));
  if (ready < 0 && errno != EINTR) throw system_error("poll", errno);
  if (ready <= 0) return;

  for (std::size_t i = 0; i < conversations_.size(); ++i) {
    if (polled[i].revents != 0) hear(conversations_[i]);
  }
  if (polled.back().revents != 0) accept_visitors();
}

// Until the deadline when only others can bring news, a short while when something is to be
// retried.
Milliseconds Rendezvous::time_to_wait() {
  const auto left = std::chrono::ceil<Milliseconds>(deadline_ - Clock::now());
  const auto bounded = std::clamp(left, Milliseconds(0), Milliseconds(std::chrono::hours(1)));
  bool retry = std::any_of(
      conversations_.begin(), conversations_.end(), [](const auto& c) { return c.gives(); });
  for (int rank = 0; rank < hello_.rank; ++rank) retry = retry || !holder_of(rank);
  if (!retry) return bounded;
  const Milliseconds pause = pause_;
  pause_ = std::min(2 * pause_, longest_pause);
  return std::min(pause, bounded);
}

void Rendezvous::accept_visitors() {
  for (int i = 0; i < hello_.size; ++i) {  // bounded: a crowd must not keep others waiting
    SocketOrError visitor = accept_from(directory_.listener());
    if (visitor.error_number == EAGAIN || visitor.error_number == ECONNABORTED) return;
    if (!visitor.socket) throw system_error("accept a peer", visitor.error_number);

    make_room();
    const ucred peer = peer_credentials(visitor.socket.get());
    Conversation& c = conversations_.emplace_back(Conversation{
        Step::hear_hello,
        std::nullopt,
        {.socket = std::move(visitor.socket), .pidfd = {}, .arena = {}, .pid = peer.pid}});
    if (const std::string fault = fault_of_user(peer); !fault.empty()) turn_away(c, fault);
  }
}

void Rendezvous::make_room() {
  const auto is_stranger = [](const Conversation& c) { return c.step == Step::hear_hello; };
  if (std::count_if(conversations_.begin(), conversations_.end(), is_stranger) < max_strangers)
    return;
  conversations_.erase(std::find_if(conversations_.begin(), conversations_.end(), is_stranger));
}

void Rendezvous::give(Conversation& c) {
  const int error = send(c.link.socket.get(), format_hello(hello_), arena_fd_);
  if (error == EAGAIN || error == ETOOMANYREFS) return;  // passes when peers receive
  if (error == EPIPE || error == ECONNRESET) {
    c.step = Step::over;
    return;
  }
  if (error != 0) throw system_error(fmt::format("send the arena to rank {}", *c.rank), error);
  if (c.step == Step::give_answer) {
    c.step = Step::hear_arena;
  } else {
    links_[static_cast<std::size_t>(*c.rank)] = std::move(c.link);
    c.step = Step::over;
  }
}

void Rendezvous::hear(Conversation& c) {
  std::optional<Message> message = receive(c.link.socket.get());
  if (!message) return;
  if (message->is_end()) {  // a lower rank is called again
    c.step = Step::over;
    return;
  }
  if (message->descriptors_lost && c.step != Step::hear_hello)
    throw system_error("receive a peer's arena", EMFILE);
  switch (c.step) {
    case Step::hear_hello:
      return hear_hello(c, *message);
    case Step::hear_answer:
      return hear_answer(c, *message);
    case Step::hear_arena:
      return hear_arena(c, *message);
    default:
      return;
  }
}

// What a visitor does wrong must not disturb this rank's job.
void Rendezvous::hear_hello(Conversation& c, const Message& message) {
  const std::optional<Hello> visitor = parse_hello(message.payload());
  if (!visitor) return turn_away(c, process_name(c.link.pid) + " sent something else than a hello");

  Hello answer = hello_;
  answer.verdict = judge(*visitor, hello_);
  if (answer.verdict == Verdict::welcome && holder_of(visitor->rank))
    answer.verdict = Verdict::rank_taken;
  if (answer.verdict == Verdict::rank_taken) answer.holder = *holder_of(visitor->rank);
  if (answer.verdict != Verdict::welcome) {
    send(c.link.socket.get(), format_hello(answer));
    return turn_away(c, explain(answer.verdict, *visitor, answer));
  }
  c.rank = visitor->rank;
  c.link.arena_bytes = visitor->arena_bytes;
  c.link.pidfd = open_pidfd(c.link.pid);
  c.step = Step::give_answer;
}

void Rendezvous::hear_answer(Conversation& c, Message& message) {
  const std::optional<Hello> host = parse_hello(message.payload());
  if (!host || host->rank != *c.rank)
    throw failure(ErrorCode::mismatch,
                  fmt::format("{} has rank {}'s socket, but does not answer as that rank",
                              process_name(c.link.pid),
                              *c.rank),
                  c.rank);
  Verdict verdict = judge(hello_, *host);
  if (verdict == Verdict::welcome) verdict = host->verdict;
  if (verdict != Verdict::welcome)
    throw failure(code_of(verdict), explain(verdict, hello_, *host), c.rank);

  const std::string fault = fault_of_arena(message, host->arena_bytes);
  if (!fault.empty())
    throw failure(ErrorCode::mismatch, fmt::format("rank {}'s arena {}", *c.rank, fault), c.rank);
  c.link.arena = std::move(message.descriptors.front());
  c.link.arena_bytes = host->arena_bytes;
  c.step = Step::give_arena;
}

void Rendezvous::hear_arena(Conversation& c, Message& message) {
  const std::string fault = fault_of_arena(message, c.link.arena_bytes);
  if (!fault.empty()) return turn_away(c, fmt::format("rank {}'s arena {}", *c.rank, fault));
  c.link.arena = std::move(message.descriptors.front());
  links_[static_cast<std::size_t>(*c.rank)] = std::move(c.link);
  c.step = Step::over;
}

void Rendezvous::turn_away(Conversation& c, const std::string& reason) {
  turned_away_ = reason;
  c.step = Step::over;
}

// The process that this rank takes for that rank.
std::optional<pid_t> Rendezvous::holder_of(int rank) const {
  if (rank == hello_.rank) return ::getpid();
  if (is_linked(rank)) return links_[static_cast<std::size_t>(rank)].pid;
  for (const Conversation& c : conversations_) {
    if (c.rank == rank && c.step != Step::over) return c.link.pid;
  }
  return std::nullopt;
}

std::vector<int> Rendezvous::missing() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < hello_.size; ++rank) {
    if (rank != hello_.rank && !is_linked(rank)) ranks.push_back(rank);
  }
  return ranks;
}

Error Rendezvous::failure(ErrorCode code,
                          const std::string& reason,
                          std::optional<int> peer) const {
  return {code, fmt::format("join as rank {} of {}: {}", hello_.rank, hello_.size, reason), peer};
}

Error Rendezvous::timeout_error() const {
  const std::vector<int> ranks = missing();
  std::vector<std::string> states;
  for (int rank : ranks) {
    const std::optional<pid_t> holder = holder_of(rank);
    states.push_back(holder ? fmt::format("rank {} ({}) does not go on with the handshake",
                                          rank,
                                          process_name(*holder))
                            : fmt::format("rank {} has not come", rank));
  }
  const auto waited = std::chrono::duration_cast<Milliseconds>(Clock::now() - begin_);
  return failure(ErrorCode::timeout,
                 fmt::format("waited {} ms in {}: {}{}; start all ranks together: muster run -n {}",
                             waited.count(),
                             directory_.path().string(),
                             fmt::join(states, ", "),
                             turned_away_.empty() ? "" : "; turned away: " + turned_away_,
                             hello_.size),
                 ranks.front());
}

}  // namespace

std::vector<PeerLink> meet(const LauncherEnvironment& environment,
                           int arena_fd,
                           std::size_t arena_bytes,
                           std::chrono::steady_clock::time_point deadline) {
  require_own_user_id();
  RendezvousDirectory directory(environment.rendezvous);
  try {
    directory.take_place(environment.rank, deadline);
    return Rendezvous(directory, environment, arena_fd, arena_bytes, deadline).run();
  } catch (...) {
    directory.remove_dead(environment.size);
    throw;
  }
}

}  // namespace muster::world

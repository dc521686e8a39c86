#include "child.h"

#include <csignal>
#include <exception>
#include <sstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace muster::test {
namespace {

std::string format(const Outcome& outcome) {
  std::ostringstream out;
  out << static_cast<int>(outcome.kind) << ' ' << static_cast<int>(outcome.code) << ' '
      << outcome.peer.value_or(-1) << ' ' << outcome.text;
  return out.str();
}

Outcome parse(const std::string& text) {
  std::istringstream in(text);
  int kind = 0;
  int code = 0;
  int peer = -1;
  if (!(in >> kind >> code >> peer)) return {.peer = {}, .text = "ended without a word"};
  Outcome outcome{static_cast<Outcome::Kind>(kind), static_cast<ErrorCode>(code), {}, {}};
  if (peer >= 0) outcome.peer = peer;
  std::getline(in.ignore(1), outcome.text, '\0');
  return outcome;
}

}  // namespace

Outcome outcome_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return {Outcome::Kind::error, error.code(), error.peer(), error.what()};
  } catch (const std::exception& error) {
    return {Outcome::Kind::other, ErrorCode::system, {}, error.what()};
  }
  return {Outcome::Kind::success, ErrorCode::system, {}, {}};
}

Child::Child(const std::function<void()>& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category());
  report_ = world::UniqueFd(ends[0]);
  const world::UniqueFd told(ends[1]);
  pid_ = ::fork();
  if (pid_ != 0) return;

  report_.reset();
  const std::string text = format(outcome_of(body));
  const bool written = ::write(told.get(), text.data(), text.size()) >= 0;
  ::_exit(written ? 0 : 1);
}

Child::Child(Child&& other) noexcept
    : report_(std::move(other.report_)), pid_(std::exchange(other.pid_, -1)) {}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Child::signal(int number) const {
  ::kill(pid_, number);
}

Outcome Child::wait(std::chrono::milliseconds longest) {
  const auto deadline = std::chrono::steady_clock::now() + longest;
  std::string text;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{report_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) <= 0)
      return {.peer = {}, .text = "still runs"};
    char buffer[4096];
    const ssize_t bytes = ::read(report_.get(), buffer, sizeof buffer);
    if (bytes <= 0) return parse(text);
    text.append(buffer, static_cast<std::size_t>(bytes));
  }
}

}  // namespace muster::test

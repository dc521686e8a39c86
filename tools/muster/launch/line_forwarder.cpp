#include "launch/line_forwarder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include <climits>

#include <algorithm>
#include <array>
#include <cerrno>

namespace muster::tool {
namespace {

// The same pipe or terminal, opened anew so as not to block: a terminal may do so in the middle of
// any write, a pipe that others fill too, and O_NONBLOCK on the descriptor would be theirs as well.
// Nothing for the rest, of which a file would have another position, a socket cannot be opened; nor
// where it may not be opened, as another user's.
FileDescriptor reopened(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return {};
  if (!S_ISFIFO(status.st_mode) && ::isatty(fd) != 1) return {};
  return FileDescriptor(::open(fmt::format("/proc/self/fd/{}", fd).c_str(),
                               O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

OutputQueue::OutputQueue(int fd) : inherited_(fd), own_(reopened(fd)) {}

void OutputQueue::write_some() {
  // After POLLOUT a pipe takes this much without blocking, and so does a socket.
  const std::size_t size = std::min<std::size_t>(this->size(), PIPE_BUF);
  const ssize_t written = ::write(fd(), text_.data() + begin_, size);
  if (written < 0 && errno != EINTR && errno != EAGAIN) {
    closed_ = true;
    if (errno != EPIPE) error_ = errno;  // a reader may leave
  }
  if (written > 0) begin_ += static_cast<std::size_t>(written);
  if (empty() || closed_) {
    text_.clear();
    begin_ = 0;
  } else if (begin_ > capacity) {
    text_.erase(0, begin_);
    begin_ = 0;
  }
}

void OutputQueue::write_all(std::chrono::milliseconds patience) {
  pollfd writable{fd(), POLLOUT, 0};
  while (!empty() && ::poll(&writable, 1, static_cast<int>(patience.count())) != 0) write_some();
}

void LineForwarder::read_some() {
  if (output_->closed()) {
    source_.reset();  // so that the rank learns of it as it would without us: SIGPIPE
  } else {
    read_once();
  }
}

void LineForwarder::drain() {
  while (open() && read_once()) {
  }
  if (open()) close();
}

bool LineForwarder::read_once() {
  std::array<char, std::size_t{64} << 10> buffer;
  const ssize_t size = ::read(fd(), buffer.data(), buffer.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (size <= 0) {
    close();
    return false;
  }
  const std::size_t searched = line_.size();
  line_.append(buffer.data(), static_cast<std::size_t>(size));
  forward_lines(searched);
  return true;
}

void LineForwarder::forward_lines(std::size_t searched) {
  std::string_view rest = line_;
  for (auto end = rest.find('\n', searched); end != std::string_view::npos; end = rest.find('\n')) {
    output_->append(prefix_);
    output_->append(rest.substr(0, end + 1));
    rest.remove_prefix(end + 1);
  }
  line_.erase(0, line_.size() - rest.size());
  if (line_.size() > longest_line) {
    output_->append(prefix_);
    output_->append(line_);
    line_.clear();
  }
}

void LineForwarder::close() {
  if (!line_.empty()) {
    output_->append(prefix_);
    output_->append(line_);
    // Without prefixes the bytes are the program's own and stay so.
    if (!prefix_.empty()) output_->append("\n");
    line_.clear();
  }
  source_.reset();
}

}  // namespace muster::tool

// Many streams of text into one, line by line.
#pragma once

#include "file_descriptor.h"

#include <chrono>
#include <string>
#include <string_view>

namespace muster::tool {

// What waits to be written to one of the launcher's own outputs. It never blocks the launcher,
// which has signals to forward and a timeout to keep: it writes when poll() says that it can, and
// no more than a pipe then takes.
class OutputQueue {
 public:
  explicit OutputQueue(int fd);

  int fd() const noexcept { return own_ ? own_.get() : inherited_; }
  bool empty() const noexcept { return size() == 0; }
  bool full() const noexcept { return size() > capacity; }
  std::size_t size() const noexcept { return text_.size() - begin_; }
  bool closed() const noexcept { return closed_; }  // nobody reads it any more, or it has failed
  int error() const noexcept { return error_; }     // an errno, 0 when all is well

  void append(std::string_view text) {
    if (!closed_) text_.append(text);
  }
  void write_some();
  void write_all(std::chrono::milliseconds patience);  // with a reader that takes nothing

 private:
  static constexpr std::size_t capacity = std::size_t{1} << 20;  // then the ranks have to wait

  int inherited_;
  FileDescriptor own_;  // if any, the same pipe or terminal
  std::string text_;
  std::size_t begin_ = 0;  // of what is not yet written
  bool closed_ = false;
  int error_ = 0;
};

// One stream of a rank. Only whole lines go on, each behind the prefix, byte for byte; a last line
// that ends without a newline goes on when the stream ends.
class LineForwarder {
 public:
  LineForwarder(FileDescriptor source, std::string prefix, OutputQueue& output)
      : source_(std::move(source)), prefix_(std::move(prefix)), output_(&output) {}

  int fd() const noexcept { return source_.get(); }
  bool open() const noexcept { return static_cast<bool>(source_); }
  bool blocked() const noexcept { return output_->full(); }

  void read_some();  // one read, which must not block; closes the source at its end
  void drain();      // what is in the pipe now, then closes it

 private:
  bool read_once();                          // whether there was something
  void forward_lines(std::size_t searched);  // no newline in so many bytes
  void close();

  // A longer line goes on in pieces: a rank must not be able to eat the launcher's memory.
  static constexpr std::size_t longest_line = std::size_t{64} << 20;

  FileDescriptor source_;
  std::string prefix_;
  OutputQueue* output_;
  std::string line_;  // begun, not yet ended
};

}  // namespace muster::tool

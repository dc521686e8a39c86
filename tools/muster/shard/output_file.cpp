#include "shard/output_file.h"

#include "exit_status.h"
#include "shard/deferred_signals.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

namespace muster::tool {
namespace {

constexpr std::size_t buffer_size = std::size_t{1} << 20;
// A write to a file is not interrupted: nobody should wait long for the end of one.
constexpr std::size_t largest_write = std::size_t{16} << 20;

[[noreturn]] void fail_to_write(const std::filesystem::path& path) {
  throw Failure(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
}

}  // namespace

// Protobuf has no exceptions, and may write once more when it is told that it cannot.
class OutputFile::Stream : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit Stream(OutputFile& file) : file_(file) {}
  bool Write(const void* bytes, int size) override {
    try {
      file_.write(std::span(static_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)));
      return true;
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
  }
  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  OutputFile& file_;
  std::exception_ptr failure_;
};

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (!file_) fail_to_write(path_);
  buffer_.reserve(buffer_size);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > buffer_size) flush();
  if (bytes.size() > buffer_size / 2) {
    write_now(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void OutputFile::write(const google::protobuf::MessageLite& message) {
  Stream stream(*this);
  google::protobuf::io::CopyingOutputStreamAdaptor adaptor(&stream);
  const bool written = message.SerializePartialToZeroCopyStream(&adaptor) && adaptor.Flush();
  stream.rethrow_failure();
  if (!written) {
    throw Failure(fmt::format("cannot write {}: larger than protobuf's 2 GiB", path_.string()));
  }
}

void OutputFile::align(std::size_t alignment) {
  const std::vector<std::byte> zeros((alignment - size_ % alignment) % alignment);
  write(zeros);
}

void OutputFile::close() {
  flush();
  // Some file systems say only now that there was no room.
  if (::fsync(file_.get()) != 0) fail_to_write(path_);
  file_.reset();
}

void OutputFile::flush() {
  write_now(buffer_);
  buffer_.clear();
}

void OutputFile::write_now(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    give_way_to_signals();
    const ssize_t written =
        ::write(file_.get(), bytes.data(), std::min(bytes.size(), largest_write));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_to_write(path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace muster::tool

#include "shard/output_file.h"

#include "exit_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace muster::tool {
namespace {

constexpr std::size_t buffer_size = std::size_t{1} << 20;

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw Failure(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
}

}  // namespace

class OutputFile::Stream : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit Stream(OutputFile& file) : file_(file) {}
  bool Write(const void* bytes, int size) override {
    file_.write(std::span(static_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)));
    return true;
  }

 private:
  OutputFile& file_;
};

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (!file_) fail(path_);
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
  if (!message.SerializePartialToZeroCopyStream(&adaptor) || !adaptor.Flush()) {
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
  if (::fsync(file_.get()) != 0) fail(path_);
  file_.reset();
}

void OutputFile::flush() {
  write_now(buffer_);
  buffer_.clear();
}

void OutputFile::write_now(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace muster::tool

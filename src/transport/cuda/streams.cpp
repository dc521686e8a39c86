#include "transport/cuda/streams.h"

#include "muster/error.h"
#include "world/cuda/driver.h"

#include <chrono>
#include <map>
#include <mutex>
#include <utility>

namespace muster::transport::cuda {

namespace {

// Streams in use by number: their rank, and by how many of its communicators.
struct Users {
  std::mutex mutex;
  std::map<std::uint64_t, const void*> ranks;
};

Users& users() {
  static Users instance;
  return instance;
}

}  // namespace

StreamUser::~StreamUser() {
  const std::lock_guard lock(users().mutex);
  const auto found = users().ranks.find(last_);
  if (found != users().ranks.end() && found->second == rank_) users().ranks.erase(found);
}

void refuse_legacy(Stream stream) {
  if (stream == Stream() || stream == Stream(cudaStreamLegacy)) {
    throw Error(ErrorCode::invalid_argument,
                "all_gather: the legacy default stream waits for every other stream, also for one "
                "that waits for this gather; pass another stream (cudaStreamPerThread, or one made "
                "with cudaStreamNonBlocking)");
  }
}

std::unique_lock<std::timed_mutex> alone_on_new_streams() {
  static std::timed_mutex mutex;
  return {mutex, std::chrono::milliseconds(10)};
}

std::uint64_t StreamUser::claim(cudaStream_t stream) {
  unsigned long long number = 0;
  world::cuda::require(cudaStreamGetId(stream, &number), "asking for a stream's number");
  if (number == last_) return number;
  const std::lock_guard lock(users().mutex);
  const auto [user, is_new] = users().ranks.emplace(number, rank_);
  if (!is_new && user->second != rank_) {
    throw Error(ErrorCode::invalid_argument,
                "all_gather: another rank of this process uses the stream; give each rank its own");
  }
  last_ = number;
  return number;
}

}  // namespace muster::transport::cuda

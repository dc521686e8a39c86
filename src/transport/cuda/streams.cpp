#include "transport/cuda/streams.h"

#include "muster/error.h"
#include "world/cuda/driver.h"

#include <chrono>
#include <map>
#include <mutex>
#include <utility>

namespace muster::transport::cuda {

namespace {

struct User {
  const void* rank;
  int communicators;  // of the rank's
};

// Streams in use, by number.
struct Users {
  std::mutex mutex;
  std::map<std::uint64_t, User> streams;
};

// Never destroyed: a communicator of static lifetime may outlive what is.
Users& users() {
  static auto& instance = *new Users;
  return instance;
}

}  // namespace

StreamUser::~StreamUser() {
  const std::lock_guard lock(users().mutex);
  for (const std::uint64_t number : claimed_) {
    const auto found = users().streams.find(number);
    if (--found->second.communicators == 0) users().streams.erase(found);
  }
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
  world::cuda::require(world::cuda::driver().stream_get_id(stream, &number),
                       "asking for a stream's number");
  if (number == last_) return number;
  if (!claimed_.contains(number)) {
    const std::lock_guard lock(users().mutex);
    User& user = users().streams.try_emplace(number, User{rank_, 0}).first->second;
    if (user.rank != rank_) {
      throw Error(ErrorCode::invalid_argument,
                  "all_gather: another rank of this process uses the stream; give each rank its "
                  "own");
    }
    claimed_.insert(number);
    ++user.communicators;
  }
  last_ = number;
  return number;
}

}  // namespace muster::transport::cuda

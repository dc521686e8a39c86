#include "transport/nccl/channel.h"

#include "muster/error.h"
#include "transport/cuda/event.h"
#include "transport/cuda/pinned.h"
#include "transport/cuda/pointers.h"
#include "transport/cuda/streams.h"
#include "transport/nccl/communicator.h"
#include "transport/nccl/kernels.h"
#include "transport/nccl/library.h"
#include "transport/nccl/schedule.h"
#include "transport/nccl/scratch.h"
#include "transport/nccl/side_stream.h"
#include "transport/nccl/watchdog.h"
#include "transport/shm/agreement.h"
#include "transport/shm/endpoint.h"
#include "transport/shm/failure.h"
#include "transport/shm/introduction.h"
#include "transport/shm/occupancy.h"
#include "transport/shm/places.h"
#include "transport/shm/waiter.h"
#include "world/cuda/memory.h"
#include "world/deadline.h"
#include "world/liveness.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace muster::transport::nccl {

namespace {

using world::cuda::CudaArena;
using world::cuda::CudaMemory;
using world::cuda::CurrentDevice;
using world::cuda::require;

// How long to wait for the kernels of a failed communicator to end.
constexpr auto longest_draining = std::chrono::milliseconds(20);

// A gather younger than this is not given up for a member that died before it could say that it had
// ended it: what that member had to send may have arrived.
constexpr auto grace = std::chrono::milliseconds(50);

// What a member tells the others when the communicator is made.
struct Introduction : shm::Introduction {
  std::int32_t version = 0;  // of NCCL; 0: there is none
  std::uint32_t may_share = 0;
  world::cuda::Uuid device{};
  ncclUniqueId id{};  // of the first member's making
};

// NCCL's own switch.
bool may_share_gpus() {
  const char* value = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  return value != nullptr && std::string_view(value) != "0";
}

int checked_size(const Group& group) {
  if (group.size() > most_moves) {
    throw Error(ErrorCode::unsupported,
                fmt::format("a communicator on GPUs has at most {} members, this group has {}",
                            most_moves,
                            group.size()));
  }
  return group.size();
}

// The members meet on the host in every call, as those of shm do: they compare headers and learn
// each other's sizes, which NCCL has to be told. Then each enqueues its part and returns.
class NcclChannel : public Channel, private world::Listener {
 public:
  NcclChannel(std::shared_ptr<world::State> state,
              const Group& group,
              const CommunicatorOptions& options)
      : endpoint_{.state = std::move(state),
                  .group = group,
                  .timeout = world::bounded(options.timeout),
                  .self = 0,
                  .controls =
                      std::vector<shm::ControlView>(static_cast<std::size_t>(checked_size(group)))},
        ordinal_(options.device.ordinal()),
        arena_(static_cast<CudaMemory&>(endpoint_.state->device_memory()).arena(ordinal_)),
        stream_user_(endpoint_.state.get()),
        mapped_(cuda::allocate_pinned(sizeof(Progress), ordinal_)),
        scratch_(arena_.service_stream()),
        control_(endpoint_.state->arena().allocate(shm::ControlView::bytes(group.size()), true)) {
    endpoint_.self = *group.position(endpoint_.state->rank());
    endpoint_.controls[static_cast<std::size_t>(endpoint_.self)] = {
        endpoint_.state->arena().base() + control_.offset, group.size()};
    try {
      introduce();
      const CurrentDevice current(ordinal_);
      require(load_kernels(), "loading muster's kernels");
      side_stream_.emplace();
      require(cudaEventCreateWithFlags(&last_, cudaEventDisableTiming), "making an event");
    } catch (...) {
      endpoint_.state->arena().free(control_);
      throw;
    }
  }

  // Captured graphs are gone: the communicator outlives them.
  ~NcclChannel() override {
    if (!endpoint_.state->in_own_process()) {
      static_cast<void>(communicator_.release());  // the parent's, and so are their threads
      static_cast<void>(watchdog_.release());
      return;
    }
    std::optional<CurrentDevice> current;
    try {
      current.emplace(ordinal_);
    } catch (const Error&) {  // the device is lost, and all that follows knows
    }
    if (machinery_) {
      watchdog_.reset();
      endpoint_.state->liveness().remove(*this);
      leave();
      if (!held_) held_ = machinery_->failures.peers();
    }
    communicator_.reset();
    // What is queued behind a gather that was aborted still counts in memory that goes now.
    while (cuda::query(last_) == cudaErrorNotReady) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    side_stream_.reset();
    cudaEventDestroy(last_);
    endpoint_.state->arena().free(control_, held_);
  }

  std::vector<std::byte> introduction() const override { return shm::to_bytes(introduction_); }

  void connect(std::span<const std::vector<std::byte>> introductions) override {
    std::vector<Introduction> members;
    for (int i = 0; i < endpoint_.size(); ++i) {
      members.push_back(i == endpoint_.self ? introduction_
                                            : shm::from_bytes<Introduction>(
                                                  endpoint_,
                                                  i,
                                                  introductions[static_cast<std::size_t>(i)],
                                                  shm::ControlView::bytes(endpoint_.size())));
      endpoint_.controls[static_cast<std::size_t>(i)] = {
          endpoint_.state->arena_of(endpoint_.group[i]).base() + members.back().control_offset,
          endpoint_.size()};
    }
    require_nccl(members);
    machinery_.emplace(endpoint_);
    endpoint_.state->liveness().add(*this);
    const shm::Occupancy::Call call(occupancy_);
    try {
      watchdog_ = std::make_unique<Watchdog>([this] { look(); });
      const CurrentDevice current(ordinal_);
      communicator_ =
          std::make_unique<NcclCommunicator>(members.front().id, endpoint_.size(), endpoint_.self);
      finish("making a communicator");
    } catch (const Error& error) {
      machinery_->failures.announce(error);
      throw;
    }
  }

  void abandon(std::shared_ptr<const world::Hold> hold) noexcept override {
    held_ = std::move(hold);
  }

  void prepare(const Gather& given) override {
    const shm::Occupancy::Call call(occupancy_);
    Gather gather = given;
    if (gather.outer <= 1) gather.shard_stride = gather.output_stride = 0;  // of no row to another
    or_fail([&] {
      const CurrentDevice current(ordinal_);
      output_ = cuda::place_on(ordinal_, arena_, shm::output_memory(gather));
      shard_ = cuda::place_on(ordinal_, arena_, shm::shard_memory(gather));
      room_ = scratch_.room_for(scratch_bytes(gather));
    });
    gather_ = gather;
    shm::Header header = shm::make_header(gather, std::nullopt, std::nullopt);
    header.in_outbox = 0;
    machinery_->agreement.prepare(header, gather.outer);
    stale_ = true;
  }

  void all_gather(Stream stream) override {
    const shm::Occupancy::Call call(occupancy_);
    check_failure();
    shm::refuse_quarantined(endpoint_, arena_, "output", output_);
    shm::refuse_quarantined(endpoint_, arena_, "shard", shard_);
    cuda::refuse_legacy(stream);
    or_fail([&] { gather_on(static_cast<cudaStream_t>(stream.handle())); });
  }

  void check() override {
    const shm::Occupancy::Call call(occupancy_);
    check_failure();
  }

  void abort(std::string_view text) override { machinery_->failures.abort(text); }

  std::size_t control_bytes() const noexcept override { return control_.bytes + sizeof(Progress); }

 private:
  // The parts that work on connected control memory.
  struct Machinery {
    explicit Machinery(const shm::Endpoint& endpoint)
        : failures(endpoint, shm::Writes::by_devices),
          waiter(endpoint, failures),
          agreement(endpoint, waiter) {}

    shm::Failures failures;
    shm::Waiter waiter;
    shm::Agreement agreement;
  };

  // Meeting.

  void introduce() {
    introduction_.members = static_cast<std::uint32_t>(endpoint_.size());
    introduction_.control_offset = control_.offset;
    introduction_.device = arena_.reach().device;
    introduction_.may_share = may_share_gpus() ? 1 : 0;
    if (library() == nullptr) return;  // which all members are told
    introduction_.version = library()->version;
    if (endpoint_.self == 0) {
      nccl::require(library()->unique_id(&introduction_.id), "asking for a unique id");
    }
  }

  Error mismatch(int i, std::string_view what) const {
    return Error(ErrorCode::mismatch,
                 fmt::format("Communicator on group {}: rank {} {} than rank {}",
                             endpoint_.group.to_string(),
                             endpoint_.group[i],
                             what,
                             endpoint_.state->rank()),
                 endpoint_.group[i]);
  }

  Error unsupported(int i, const std::string& what) const {
    return Error(ErrorCode::unsupported,
                 fmt::format("Communicator on group {}: {}", endpoint_.group.to_string(), what),
                 endpoint_.group[i]);
  }

  // All members find the same, and none waits for another in vain.
  void require_nccl(const std::vector<Introduction>& members) const {
    for (int i = 0; i < endpoint_.size(); ++i) {
      const Introduction& member = members[static_cast<std::size_t>(i)];
      if (member.version == 0) {
        throw unsupported(
            i,
            fmt::format("rank {} has no NCCL to use{}",
                        endpoint_.group[i],
                        i == endpoint_.self ? " (" + why_no_library() + ")" : std::string()));
      }
    }
    for (int i = 0; i < endpoint_.size(); ++i) {
      const Introduction& member = members[static_cast<std::size_t>(i)];
      if (member.version != introduction_.version) {
        throw mismatch(i,
                       fmt::format("has NCCL {}, another version ({})",
                                   version_text(member.version),
                                   version_text(introduction_.version)));
      }
      for (int j = 0; j < i; ++j) {
        if (members[static_cast<std::size_t>(j)].device == member.device) {
          require_sharing(members, j, i);
        }
      }
    }
  }

  void require_sharing(const std::vector<Introduction>& members, int i, int j) const {
    const bool able = introduction_.version >= first_to_share_gpus;
    if (able && members[static_cast<std::size_t>(i)].may_share != 0 &&
        members[static_cast<std::size_t>(j)].may_share != 0) {
      return;
    }
    throw unsupported(
        j,
        fmt::format(
            "ranks {} and {} use the same GPU, which NCCL {} refuses{}",
            endpoint_.group[i],
            endpoint_.group[j],
            version_text(introduction_.version),
            able ? " unless NCCL_MULTI_RANK_GPU_ENABLE=1 is set for all of them"
                 : fmt::format("; {} or later takes it", version_text(first_to_share_gpus))));
  }

  // Waits until what NCCL does in the background has ended.
  void finish(std::string_view what) {
    const auto deadline = world::deadline_after(endpoint_.timeout);
    for (int looks = 0;; ++looks) {
      const ncclResult_t state = communicator_->state();
      if (state == ncclSuccess) return;
      if (machinery_->failures.failed()) throw machinery_->failures.recorded();
      endpoint_.for_each_peer([&](int i) {
        if (endpoint_.state->liveness().lost(endpoint_.group[i])) {
          throw machinery_->failures.reason_of_end(i);
        }
      });
      nccl::require(state, what);
      if (world::Clock::now() >= deadline) {
        throw Error(ErrorCode::timeout,
                    fmt::format("{}: rank {} waited {} ms in vain for NCCL ({})",
                                endpoint_.operation(),
                                endpoint_.state->rank(),
                                endpoint_.timeout.count(),
                                what));
      }
      if (looks < 100) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  // Gathering.

  // Does a part of a gather. If it fails, this member does not come, and the others are told.
  template <typename Function>
  void or_fail(Function function) {
    try {
      function();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::invalid_argument) fail(error);
      throw;
    } catch (const std::bad_alloc&) {
      const Error error(ErrorCode::out_of_memory, endpoint_.operation() + ": out of memory");
      fail(error);
      throw Error(error);
    }
  }

  void gather_on(cudaStream_t stream) {
    const CurrentDevice current(ordinal_);
    cudaStreamCaptureStatus capture{};
    require(cudaStreamIsCapturing(stream, &capture), "asking whether a stream is captured");
    const bool captured = capture != cudaStreamCaptureStatusNone;
    const std::uint64_t number = captured ? 0 : stream_user_.claim(stream);
    watchdog_->start();
    meet();
    if (!captured) return run(stream, number);
    if (output_) captured_outputs_.push_back(*output_);
    enqueue(stream);
  }

  // Throws mismatch, timeout, peer_lost. Afterwards all members enqueue the same.
  void meet() {
    machinery_->waiter.begin_call();
    if (!machinery_->agreement.reach(++calls_) && !stale_) return;
    schedule_ =
        make_schedule(gather_, endpoint_.self, endpoint_.size(), machinery_->agreement, room_);
    stale_ = false;
  }

  // Behind the last gather, also where that is on another stream.
  void run(cudaStream_t stream, std::uint64_t number) {
    if (number != last_stream_) {
      if (launched_) require(cudaStreamWaitEvent(stream, last_, 0), "ordering two streams");
      maybe_new_ = true;
    }
    launched_ = true;
    last_stream_ = number;
    try {
      enqueue(stream);
    } catch (const Error&) {
      cudaEventRecord(last_, stream);  // some of it may be there
      throw;
    }
    require(cudaEventRecord(last_, stream), "recording an event");
  }

  void enqueue(cudaStream_t callers) {
    if (gather_.outer * gather_.output_row_bytes == 0) return;
    const cudaStream_t stream = side_stream_->fork(callers);
    begin(stream);
    try {
      transfer(stream);
    } catch (const Error&) {
      count(&progress().ended, stream);  // for whom waits until nothing is under way
      side_stream_->join(callers);
      throw;
    }
    require(count(&progress().ended, stream), "launching a gather");
    side_stream_->join(callers);
  }

  // What comes behind on the stream waits for peers, and must not find it new.
  void begin(cudaStream_t stream) {
    std::unique_lock<std::timed_mutex> alone;
    if (std::exchange(maybe_new_, false)) alone = cuda::alone_on_new_streams();
    require(count(&progress().begun, stream), "launching a gather");
  }

  void transfer(cudaStream_t stream) {
    require(launch(schedule_.before, stream), "launching a gather");
    if (schedule_.equal) {
      communicator_->all_gather(schedule_.from, schedule_.to, schedule_.bytes, stream);
    } else {
      communicator_->exchange(schedule_.sent, schedule_.received, stream);
    }
    finish("enqueueing a gather");
    require(launch(schedule_.after, stream), "launching a gather");
  }

  // Failure.

  Progress& progress() const noexcept { return *reinterpret_cast<Progress*>(mapped_.get()); }
  std::uint64_t begun() const noexcept {
    return std::atomic_ref(progress().begun).load(std::memory_order_acquire);
  }
  std::uint64_t ended() const noexcept {
    return std::atomic_ref(progress().ended).load(std::memory_order_acquire);
  }

  void check_failure() {
    if (!machinery_->failures.failed()) return;
    settle();
    throw machinery_->failures.recorded();
  }

  void fail(const Error& error) noexcept {
    machinery_->failures.announce(error);
    settle();
  }

  // Has the stream yet to come to the next gather? Until it has, NCCL is not to be told to abort:
  // it would not wait for that one, whose kernel would find the communicator's memory in other use
  // (seen with 2.31). Peers that are in it already end it themselves.
  bool is_held_up() const noexcept {
    if (begun() != ended()) return false;
    try {
      const CurrentDevice current(ordinal_);  // on the watchdog's thread it is not
      return cuda::query(last_) == cudaErrorNotReady;
    } catch (const Error&) {  // the device is lost
      return false;
    }
  }

  // Ends what runs on the device, says so, and keeps what a peer that has not said so could still
  // write out of use: NCCL has peers write straight into the buffers of captured gathers.
  void settle() noexcept {
    if (settled_ || is_held_up()) return;  // the watchdog comes again
    communicator_->abort();
    if (!drain(longest_draining)) return;
    machinery_->failures.end();
    settled_ = true;
    if (machinery_->failures.wait_for_peers_to_end()) return;
    if (output_) machinery_->failures.keep_from_peers(arena_, *output_);
    for (const world::Range& range : captured_outputs_) {
      machinery_->failures.keep_from_peers(arena_, range);
    }
  }

  // Waits until no gather is under way on the device.
  bool drain(std::chrono::milliseconds patience) const noexcept {
    const auto deadline = world::deadline_after(patience);
    while (begun() != ended()) {
      if (world::Clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return true;
  }

  // What the destructor does while peers may still be at work.
  void leave() noexcept {
    if (!settled_) {
      const auto deadline = world::deadline_after(endpoint_.timeout);
      while (cuda::query(last_) == cudaErrorNotReady && !machinery_->failures.failed() &&
             world::Clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      while (is_held_up()) std::this_thread::sleep_for(std::chrono::microseconds(50));
      show_progress();
      machinery_->failures.end();
      // Not to take away what peers' kernels, which end within microseconds, look at.
      machinery_->failures.wait_for_peers_to_end();
    }
    endpoint_.for_each_peer(
        [&](int i) { world::ring_attention(endpoint_.state->control_of(endpoint_.group[i])); });
  }

  // On the watcher thread. Wakes a sleeping call so that it looks around; where there is no call,
  // ends this side of a failed communicator.
  void attention() noexcept override {
    shm::Doorbell& doorbell = endpoint_.own().doorbell();
    if (doorbell.awaited.load(std::memory_order_seq_cst) != 0) {
      doorbell.bell.fetch_add(1, std::memory_order_seq_cst);
      world::futex_wake_all(doorbell.bell);
    }
    if (!machinery_->failures.failed()) return;
    const shm::Occupancy::Visit visit(occupancy_);
    if (visit && communicator_) settle();
  }

  // On the watchdog's thread: is the gather that the device is at getting anywhere? A call that is
  // under way looks for itself.
  void look() noexcept {
    const shm::Occupancy::Visit visit(occupancy_);
    if (!visit || settled_) return;
    if (machinery_->failures.failed()) return settle();
    show_progress();
    try {
      nccl::require(communicator_->state(), endpoint_.operation());
      require_progress();
    } catch (const Error& error) {
      fail(error);
    }
  }

  void show_progress() const noexcept {
    endpoint_.for_each_peer([&](int i) {
      shm::PeerWords& words = endpoint_.of(i).from(endpoint_.self);
      words.pushed.store(begun(), std::memory_order_relaxed);
      words.pulled.store(ended(), std::memory_order_relaxed);
    });
  }

  void require_progress() {
    const auto now = world::Clock::now();
    const std::uint64_t call = begun();
    if (call == ended() || call != watched_) {
      watched_ = call;
      watched_since_ = now;
      return;
    }
    if (now - watched_since_ >= grace) {
      endpoint_.for_each_peer([&](int i) {
        // It says how far it has come before it says that it goes.
        if (!endpoint_.ended(i)) return;
        const auto finished = endpoint_.own().from(i).pulled.load(std::memory_order_acquire);
        if (finished < call) throw machinery_->failures.reason_of_end(i);
      });
    }
    if (now - watched_since_ >= endpoint_.timeout) throw late(call);
  }

  // The members whose devices have not come to this gather; all of them have promised it.
  Error late(std::uint64_t call) const {
    std::vector<int> ranks;
    for (int i = 0; i < endpoint_.size(); ++i) {
      const bool is_late = i != endpoint_.self && endpoint_.own().from(i).pushed.load() < call;
      if (is_late) ranks.push_back(endpoint_.group[i]);
    }
    return Error(
        ErrorCode::timeout,
        fmt::format("{}: the GPU of rank {} waited {} ms in vain for {}",
                    endpoint_.operation(),
                    endpoint_.state->rank(),
                    endpoint_.timeout.count(),
                    ranks.empty() ? "NCCL" : fmt::format("rank {}", fmt::join(ranks, ", rank "))),
        ranks.empty() ? std::nullopt : std::optional(ranks.front()));
  }

  shm::Endpoint endpoint_;  // the host's half: how members meet, fail, and end
  const int ordinal_;
  CudaArena& arena_;
  cuda::StreamUser stream_user_;
  const cuda::Pinned mapped_;
  Scratch scratch_;
  const world::Range control_;
  std::shared_ptr<const world::Hold> held_;  // by members that could write to this one's memory
  Introduction introduction_;
  cudaEvent_t last_ = nullptr;  // behind the last gather that was not captured
  std::optional<SideStream> side_stream_;
  std::optional<Machinery> machinery_;  // once connected
  std::unique_ptr<NcclCommunicator> communicator_;
  std::unique_ptr<Watchdog> watchdog_;

  shm::Occupancy occupancy_;
  std::uint64_t calls_ = 0;
  bool launched_ = false;
  std::uint64_t last_stream_ = 0;
  bool settled_ = false;
  bool maybe_new_ = false;     // the stream of the next kernel
  std::uint64_t watched_ = 0;  // the gather that the watchdog has seen begin, and when
  world::Deadline watched_since_;
  std::vector<world::Range> captured_outputs_;

  // Of the prepared gather.
  Gather gather_;
  std::optional<world::Range> output_;  // where it lies in the arena
  std::optional<world::Range> shard_;
  std::byte* room_ = nullptr;
  bool stale_ = true;  // schedule_ is of another gather
  Schedule schedule_;
};

}  // namespace

bool serves(Device device) {
  return device.kind() == Device::Kind::cuda;
}

std::unique_ptr<Channel> open(std::shared_ptr<world::State> state,
                              const Group& group,
                              const CommunicatorOptions& options) {
  return std::make_unique<NcclChannel>(std::move(state), group, options);
}

}  // namespace muster::transport::nccl

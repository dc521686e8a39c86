#include "transport/cuda/channel.h"

#include "muster/error.h"
#include "transport/cuda/event.h"
#include "transport/cuda/kernels.h"
#include "transport/cuda/pinned.h"
#include "transport/cuda/pointers.h"
#include "transport/cuda/relaxed_capture.h"
#include "transport/cuda/streams.h"
#include "transport/shm/endpoint.h"
#include "transport/shm/failure.h"
#include "transport/shm/introduction.h"
#include "transport/shm/occupancy.h"
#include "transport/shm/places.h"
#include "transport/shm/terms.h"
#include "world/cuda/memory.h"
#include "world/deadline.h"
#include "world/liveness.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

namespace muster::transport::cuda {

namespace {

using world::cuda::CudaArena;
using world::cuda::CudaMemory;
using world::cuda::CurrentDevice;
using world::cuda::driver;
using world::cuda::require;

// How long to wait for kernels of a failed communicator. They look around every few microseconds.
constexpr auto longest_draining = std::chrono::milliseconds(20);

// Output places remembered before those of calls that have ended are forgotten.
constexpr std::size_t most_offers = 64;

// What a member tells the others when the communicator is made.
struct Introduction : shm::Introduction {
  std::uint64_t device_offset = 0;  // of its control memory in the device's arena
  std::uint64_t multiprocessors = 0;
  world::cuda::Reach reach;
};

// What the host needs of shm's control memory: to fail and to end. Its headers travel on the GPU.
std::size_t host_control_bytes(int members) {
  return sizeof(shm::Doorbell) + sizeof(shm::FailureRecord) +
         static_cast<std::size_t>(members) * sizeof(shm::PeerWords);
}

int attribute_of(int ordinal, cudaDeviceAttr attribute) {
  int value = 0;
  require(cudaDeviceGetAttribute(&value, attribute, ordinal), "asking for a device's attributes");
  return value;
}

// Is the device's memory of more than five stacks? As an H200's is, and an H100's is not.
bool has_wide_memory(int ordinal) {
  constexpr int bits_of_five_stacks = 5 * 1024;
  return attribute_of(ordinal, cudaDevAttrGlobalMemoryBusWidth) > bits_of_five_stacks;
}

// Held by this member while kernels of its own could still write, then by its peers.
class Draining final : public world::Hold {
 public:
  explicit Draining(int rank) : rank_(rank) {}

  // Its kernels have ended.
  void leave_to(std::shared_ptr<const world::Hold> peers) noexcept {
    if (ended_.load(std::memory_order_relaxed)) return;
    peers_ = std::move(peers);
    ended_.store(true, std::memory_order_release);
  }
  std::optional<int> holder() const noexcept override {
    if (!ended_.load(std::memory_order_acquire)) return rank_;
    return peers_->holder();
  }

 private:
  const int rank_;
  std::shared_ptr<const world::Hold> peers_;
  std::atomic<bool> ended_ = false;
};

class CudaChannel : public Channel, private world::Listener {
 public:
  CudaChannel(std::shared_ptr<world::State> state,
              const Group& group,
              const CommunicatorOptions& options)
      : endpoint_{.state = std::move(state),
                  .group = group,
                  .timeout = world::bounded(options.timeout),
                  .self = 0,
                  .controls =
                      std::vector<shm::ControlView>(static_cast<std::size_t>(group.size()))},
        ordinal_(options.device.ordinal()),
        memory_(static_cast<CudaMemory&>(endpoint_.state->device_memory())),
        arena_(memory_.arena(ordinal_)),
        layout_(Layout::of(checked_size(group))),
        stream_user_(endpoint_.state.get()),
        mapped_(allocate_pinned(Mapped::bytes(group.size()), ordinal_)),
        draining_(std::make_shared<Draining>(endpoint_.state->rank())),
        control_(endpoint_.state->arena().allocate(host_control_bytes(group.size()), true)) {
    endpoint_.self = *group.position(endpoint_.state->rank());
    endpoint_.controls[static_cast<std::size_t>(endpoint_.self)] = {
        endpoint_.state->arena().base() + control_.offset, group.size()};
    try {
      const CurrentDevice current(ordinal_);
      require(kernels_.load(group.size()), "loading muster's kernels");
      require(cudaEventCreateWithFlags(&last_, cudaEventDisableTiming), "making an event");
      device_control_ = arena_.allocate(layout_.bytes(), true);
    } catch (...) {
      if (last_ != nullptr) cudaEventDestroy(last_);
      endpoint_.state->arena().free(control_);
      throw;
    }
  }

  // Kernels of captured graphs have ended: the communicator outlives its graphs.
  ~CudaChannel() override {
    if (!endpoint_.state->in_own_process()) return;
    if (failures_) {
      endpoint_.state->liveness().remove(*this);
      leave();
      if (!held_) held_ = draining_;
    }
    cudaEventDestroy(last_);
    endpoint_.state->arena().free(control_, held_);
    arena_.free(device_control_, held_);
  }

  std::vector<std::byte> introduction() const override { return shm::to_bytes(own_introduction()); }

  void connect(std::span<const std::vector<std::byte>> introductions) override {
    std::vector<Introduction> members;
    for (int i = 0; i < endpoint_.size(); ++i) {
      members.push_back(i == endpoint_.self ? own_introduction()
                                            : read(i, introductions[static_cast<std::size_t>(i)]));
    }
    // Only then: all members find a mismatch, whomever they reach.
    for (int i = 0; i < endpoint_.size(); ++i) connect(i, members[static_cast<std::size_t>(i)]);
    blocks_at_most_ = blocks_for(members);
    arguments_.self = endpoint_.self;
    arguments_.size = endpoint_.size();
    arguments_.layout = layout_;
    arguments_.timeout_ns = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(endpoint_.timeout).count());
    arguments_.mapped = &mapped();
    const bool shared = share_a_gpu(members);
    arguments_.one_gpu = !endpoint_.state->parcels().between_processes() && shared;
    arguments_.run = shared && has_wide_memory(ordinal_) ? 2 : 1;  // decision 56
    failures_.emplace(endpoint_, shm::Writes::by_devices);
    endpoint_.state->liveness().add(*this);
    tell_kernels();
  }

  void abandon(std::shared_ptr<const world::Hold> hold) noexcept override {
    held_ = std::move(hold);
  }

  void prepare(const Gather& given) override {
    const Inside inside(*this);
    Gather gather = given;
    if (gather.outer <= 1) gather.shard_stride = gather.output_stride = 0;  // of no row to another
    std::optional<world::Range> output;
    std::optional<world::Range> shard;
    or_fail([&] {
      output = place_on(ordinal_, arena_, shm::output_memory(gather));
      shard = place_on(ordinal_, arena_, shm::shard_memory(gather));
    });
    const auto offset = [](const auto& range) {
      return range ? std::optional(range->offset) : std::nullopt;
    };
    output_ = output;
    shard_ = shard;
    arguments_.header = shm::make_header(gather, offset(shard), offset(output));
    arguments_.header.in_outbox = 0;  // packets or rows: all members choose alike
    arguments_.shard = gather.shard;
    arguments_.output = gather.output;
    arguments_.shard_stride = gather.shard_stride;
    arguments_.output_stride = gather.output_stride;
    arguments_.outer = gather.outer;
    arguments_.reciprocal = reciprocal_of(gather.shard_row_bytes);
    grid_ = choose_grid(gather.outer * gather.output_row_bytes, endpoint_.size(), blocks_at_most_);
    grid_.usual = is_usual(arguments_, grid_);
  }

  void all_gather(Stream stream) override {
    const Inside inside(*this);
    throw_failure();
    shm::refuse_quarantined(endpoint_, arena_, "output", output_);
    shm::refuse_quarantined(endpoint_, arena_, "shard", shard_);
    refuse_legacy(stream);
    auto* const handle = static_cast<CUstream>(stream.handle());
    bool captured = false;
    or_fail([&] {
      const CurrentDevice current(ordinal_);
      captured = is_captured(handle);
      if (!captured) run(handle);
    });
    if (captured) capture(handle);
  }

  void check() override {
    const Inside inside(*this);
    throw_failure();
  }

  void abort(std::string_view text) override {
    failures_->abort(text);
    tell_kernels();
  }

  std::size_t control_bytes() const noexcept override {
    return control_.bytes + layout_.control_bytes() + Mapped::bytes(endpoint_.size());
  }

 private:
  // A call. The watcher, which does not enter while there is one, has to come again behind it if it
  // came to tell of a failure.
  class Inside {
   public:
    explicit Inside(CudaChannel& channel) : afterwards_{channel}, call_(channel.occupancy_) {}

   private:
    struct Afterwards {
      CudaChannel& channel;
      ~Afterwards() {
        if (channel.failures_->failed()) channel.ring(channel.endpoint_.state->rank());
      }
    };
    const Afterwards afterwards_;
    const shm::Occupancy::Call call_;
  };

  // Does a part of a gather. If CUDA fails in it, this member does not come, and the others are
  // told.
  template <typename Function>
  void or_fail(Function function) {
    try {
      function();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::invalid_argument) throw;
      throw failed(error.code(), error.what());
    } catch (const std::bad_alloc&) {
      throw failed(ErrorCode::out_of_memory, "out of memory");
    }
  }

  static int checked_size(const Group& group) {
    if (group.size() > most_members) {
      throw Error(ErrorCode::unsupported,
                  fmt::format("a communicator on GPUs has at most {} members, this group has {}",
                              most_members,
                              group.size()));
    }
    return group.size();
  }

  Mapped& mapped() const noexcept { return *reinterpret_cast<Mapped*>(mapped_.get()); }

  // Meeting.

  Introduction own_introduction() const {
    Introduction own;
    own.members = static_cast<std::uint32_t>(endpoint_.size());
    own.control_offset = control_.offset;
    own.device_offset = device_control_.offset;
    own.multiprocessors =
        static_cast<std::uint64_t>(attribute_of(ordinal_, cudaDevAttrMultiProcessorCount));
    own.reach = arena_.reach();
    return own;
  }

  Introduction read(int i, const std::vector<std::byte>& bytes) const {
    const auto theirs =
        shm::from_bytes<Introduction>(endpoint_, i, bytes, host_control_bytes(endpoint_.size()));
    if (!shm::lies_in(theirs.device_offset, alignof(Own), layout_.bytes(), theirs.reach.bytes)) {
      throw shm::other_layout(endpoint_, i);
    }
    return theirs;
  }

  void connect(int i, const Introduction& theirs) {
    const int rank = endpoint_.group[i];
    std::byte* const base =
        i == endpoint_.self ? arena_.base() : memory_.base_of(rank, theirs.reach, ordinal_);
    arguments_.members[i] = {base + theirs.device_offset, base, theirs.reach.bytes};
    endpoint_.controls[static_cast<std::size_t>(i)] = {
        endpoint_.state->arena_of(rank).base() + theirs.control_offset, endpoint_.size()};
  }

  static bool share_a_gpu(const std::vector<Introduction>& members) {
    return std::all_of(members.begin(), members.end(), [&](const Introduction& member) {
      return member.reach.device == members.front().reach.device;
    });
  }

  // A GPU that several members share has to hold all of their blocks at once, and leave half of
  // itself to other communicators and to the application.
  static int blocks_for(const std::vector<Introduction>& members) {
    std::uint64_t fewest = std::uint64_t{most_blocks} * 2;
    std::uint64_t sharing = 2;
    for (const Introduction& member : members) {
      const auto alike = std::count_if(members.begin(), members.end(), [&](const auto& other) {
        return other.reach.device == member.reach.device;
      });
      sharing = std::max(sharing, static_cast<std::uint64_t>(alike));
      fewest = std::min(fewest, member.multiprocessors);
    }
    return static_cast<int>(
        std::clamp<std::uint64_t>(fewest / sharing, 1, std::uint64_t{most_blocks}));
  }

  // Remembers where peers may write, for the case that the communicator fails.
  void offer_output(bool captured) {
    if (!output_) return;
    const auto same = [&](const Offer& offer) {
      return offer.range.offset == output_->offset && offer.range.bytes == output_->bytes;
    };
    const auto known = std::find_if(offers_.begin(), offers_.end(), same);
    if (known != offers_.end()) {
      known->captured |= captured;
      return;
    }
    if (!captured && offers_.size() >= most_offers && last_has_ended() &&
        reason() == Reason::none && !failures_->failed()) {
      std::erase_if(offers_, [](const Offer& offer) { return !offer.captured; });
    }
    offers_.push_back({*output_, captured});
  }

  bool last_has_ended() const { return query(last_) == cudaSuccess; }

  static bool is_captured(CUstream stream) {
    CUstreamCaptureStatus status{};
    require(driver().stream_is_capturing(stream, &status), "asking whether a stream is captured");
    return status != CU_STREAM_CAPTURE_STATUS_NONE;
  }

  // What goes wrong here goes wrong for no other member: there is no gather before there is a
  // graph.
  void capture(CUstream stream) {
    try {
      const CurrentDevice current(ordinal_);
      offer_output(true);
      require(kernels_.launch(arguments_, grid_, stream), "all_gather: capturing a gather");
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::out_of_memory, "all_gather: capturing a gather: out of memory");
    }
  }

  // Behind the last gather, also where that is on another stream.
  void run(CUstream stream) {
    const std::uint64_t number = stream_user_.claim(stream);
    offer_output(false);
    std::unique_lock<std::timed_mutex> alone;
    if (number != last_stream_) {
      if (launched_) require(cudaStreamWaitEvent(stream, last_, 0), "ordering two streams");
      alone = alone_on_new_streams();
    }
    require(kernels_.launch(arguments_, grid_, stream), "launching a gather");
    require(driver().event_record(last_, stream), "recording an event");
    launched_ = true;
    last_stream_ = number;
  }

  // Failure.

  // This member does not come to the gather: the others need not wait for it.
  Error failed(ErrorCode code, std::string_view why) {
    const int rank = endpoint_.state->rank();
    Error error(code, fmt::format("{}: rank {}: {}", endpoint_.operation(), rank, why), rank);
    failures_->announce(error);
    tell_kernels();
    return error;
  }

  Reason reason() const noexcept {
    return static_cast<Reason>(std::atomic_ref(mapped().reason).load(std::memory_order_acquire));
  }

  // A member that has found a failure itself tells that once, as in any call; what all share is
  // what it throws from then on.
  void throw_failure() {
    if (!failures_->failed() && reason() == Reason::none) return;
    const bool found = reason() == Reason::mismatch || reason() == Reason::timeout;
    if (found && !std::exchange(told_, true)) {
      const Error error = reported();
      failures_->announce(error);
      settle();
      throw error;
    }
    if (!failures_->failed()) failures_->announce(reported());
    settle();
    throw failures_->recorded();
  }

  // What the kernel that gave up has found.
  Error reported() const {
    const std::uint32_t members = mapped().members;
    std::vector<int> ranks;
    for (int i = 0; i < endpoint_.size(); ++i) {
      if ((members >> i & 1) != 0) ranks.push_back(endpoint_.group[i]);
    }
    if (reason() == Reason::mismatch) return reported_mismatch();
    if (reason() == Reason::lost && !ranks.empty()) {
      return failures_->reason_of_end(*endpoint_.group.position(ranks.front()));
    }
    if (reason() == Reason::timeout && !ranks.empty()) {
      return Error(ErrorCode::timeout,
                   fmt::format("{}: rank {} waited {} ms in vain for rank {}",
                               endpoint_.operation(),
                               endpoint_.state->rank(),
                               endpoint_.timeout.count(),
                               fmt::join(ranks, ", rank ")),
                   ranks.front());
    }
    return Error(ErrorCode::peer_lost, endpoint_.operation() + ": the communicator has failed");
  }

  Error reported_mismatch() const {
    const auto size = static_cast<std::size_t>(endpoint_.size());
    std::vector<Header> headers(size);
    std::vector<std::size_t> arenas(size);
    std::vector<std::size_t> row_offsets(size);
    for (std::size_t i = 0; i < size; ++i) {
      std::memcpy(static_cast<void*>(&headers[i]),
                  reinterpret_cast<const Header*>(&mapped() + 1) + i,
                  sizeof(Header));
      arenas[i] = arguments_.members[i].arena_bytes;
    }
    try {
      shm::check_terms(endpoint_, headers, mapped().outer, arenas, row_offsets);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::mismatch, endpoint_.operation() + ": the members' headers disagree");
  }

  // Tells kernels that wait what has become of the others.
  void tell_kernels() noexcept {
    std::uint32_t ended = 0;
    endpoint_.for_each_peer([&](int i) {
      if (endpoint_.ended(i)) ended |= std::uint32_t{1} << i;
    });
    std::atomic_ref(mapped().ended).fetch_or(ended, std::memory_order_seq_cst);
    if (failures_->failed()) std::atomic_ref(mapped().failed).store(1, std::memory_order_seq_cst);
  }

  // On the watcher thread. Where there is no call, ends this side of a failed communicator, so that
  // its peers need not wait for the next one.
  void attention() noexcept override {
    tell_kernels();
    if (!failures_->failed()) return;
    const shm::Occupancy::Visit visit(occupancy_);
    if (!visit) return;
    try {
      settle();
    } catch (const std::exception&) {  // the next call tries again, or the destructor
    }
  }

  // Sees to it that no kernel of this member writes any more, says so, and keeps what a peer that
  // has not said so could still write out of use.
  void settle() {
    if (settled_) return;
    if (!have_kernels_stopped()) {  // the next call tries again, or the destructor
      keep_offers();
      return;
    }
    failures_->end();
    ring_peers();
    if (!failures_->wait_for_peers_to_end()) keep_offers();
    draining_->leave_to(failures_->peers());
    settled_ = true;
  }

  // Nor does any write where their context is lost.
  bool have_kernels_stopped() {
    try {
      return stop_kernels(longest_draining);
    } catch (const Error&) {
      if (!is_context_lost()) throw;
      return true;
    }
  }

  bool is_context_lost() const noexcept {
    try {
      const CurrentDevice current(ordinal_);
      const cudaError_t status = query(last_);
      return status != cudaSuccess && status != cudaErrorNotReady;
    } catch (const Error&) {
      return true;
    }
  }

  void keep_offers() {
    if (std::exchange(kept_, true)) return;
    for (const Offer& offer : offers_) arena_.quarantine(offer.range, draining_);
  }

  void ring(int rank) noexcept { world::ring_attention(endpoint_.state->control_of(rank)); }
  void ring_peers() {
    endpoint_.for_each_peer([&](int i) { ring(endpoint_.group[i]); });
  }

  // From here on kernels return at once; those that wait see it within microseconds.
  bool stop_kernels(std::chrono::milliseconds patience) {
    const CurrentDevice current(ordinal_);
    const RelaxedCapture relaxed;
    std::atomic_ref(mapped().failed).store(1, std::memory_order_seq_cst);
    auto* const own = reinterpret_cast<Own*>(arguments_.members[endpoint_.self].control);
    const cudaStream_t stream = arena_.service_stream();
    require(cudaMemcpyAsync(
                &own->failed, &mapped().failed, sizeof own->failed, cudaMemcpyHostToDevice, stream),
            "stopping kernels");
    const auto deadline = world::Clock::now() + patience;
    for (int idle = 0; idle < 2;) {
      require(cudaMemcpyAsync(&mapped().own, own, sizeof(Own), cudaMemcpyDeviceToHost, stream),
              "looking at kernels");
      require(cudaStreamSynchronize(stream), "looking at kernels");
      idle = mapped().own.idle() ? idle + 1 : 0;
      if (idle < 2 && world::Clock::now() > deadline) return false;
    }
    return true;
  }

  // What the destructor does while peers may still be at work.
  void leave() {
    try {
      const CurrentDevice current(ordinal_);
      const RelaxedCapture relaxed;
      const bool in_flight = launched_ && !last_has_ended();
      const bool gave_up = reason() != Reason::none;  // not because it is stopped now
      const bool stopped = stop_kernels(endpoint_.timeout + longest_draining);
      if (launched_) cudaEventSynchronize(last_);
      if (gave_up && !failures_->failed()) failures_->announce(reported());
      const bool cut_short = reason() != Reason::none;  // also one of a graph
      if (in_flight || cut_short || failures_->failed()) keep_offers();
      if (!stopped) return;
    } catch (const std::exception&) {  // no kernel runs on a device that is lost
    }
    failures_->end();
    draining_->leave_to(failures_->peers());
    ring_peers();
  }

  struct Offer {
    world::Range range;
    bool captured;  // and so may be written whenever the graph is launched
  };

  shm::Endpoint endpoint_;  // the host's half: how members fail, and end
  const int ordinal_;
  CudaMemory& memory_;
  CudaArena& arena_;
  const Layout layout_;
  StreamUser stream_user_;
  const Pinned mapped_;
  const std::shared_ptr<Draining> draining_;
  Kernels kernels_;
  const world::Range control_;
  world::Range device_control_;
  std::shared_ptr<const world::Hold> held_;  // by who could write to this member's memory
  cudaEvent_t last_ = nullptr;               // behind the last gather that was not captured
  int blocks_at_most_ = 1;
  std::optional<shm::Failures> failures_;  // once connected

  shm::Occupancy occupancy_;
  bool launched_ = false;
  std::uint64_t last_stream_ = 0;
  bool settled_ = false;
  bool kept_ = false;  // the offers
  bool told_ = false;  // what a kernel of this member has found
  std::vector<Offer> offers_;

  // Of the prepared gather.
  std::optional<world::Range> output_;  // where it lies in the arena
  std::optional<world::Range> shard_;
  Arguments arguments_{};
  Grid grid_;
};

}  // namespace

bool serves(Device device) {
  return device.kind() == Device::Kind::cuda;
}

std::unique_ptr<Channel> open(std::shared_ptr<world::State> state,
                              const Group& group,
                              const CommunicatorOptions& options) {
  return std::make_unique<CudaChannel>(std::move(state), group, options);
}

}  // namespace muster::transport::cuda

#include "transport/shm/channel.h"

#include "muster/error.h"
#include "transport/shm/agreement.h"
#include "transport/shm/endpoint.h"
#include "transport/shm/failure.h"
#include "transport/shm/movement.h"
#include "transport/shm/waiter.h"
#include "world/liveness.h"

#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <new>
#include <optional>
#include <thread>
#include <utility>

namespace muster::transport::shm {

namespace {

// What a member tells the others when the communicator is made.
struct Introduction {
  static constexpr std::uint32_t current_layout = 1;

  std::uint32_t layout = current_layout;  // of the control memory
  std::uint32_t members = 0;
  std::uint64_t control_offset = 0;
};

world::Range range_of(std::size_t offset,
                      std::size_t outer,
                      std::size_t stride,
                      std::size_t row_bytes) {
  return {offset, outer == 0 ? 0 : (outer - 1) * stride + row_bytes};
}

class ShmChannel : public Channel, private world::Listener {
 public:
  ShmChannel(std::shared_ptr<world::State> state,
             const Group& group,
             const CommunicatorOptions& options)
      : endpoint_{.state = std::move(state),
                  .group = group,
                  .timeout = options.timeout,
                  .self = 0,
                  .controls = std::vector<ControlView>(static_cast<std::size_t>(group.size()))},
        control_(endpoint_.state->arena().allocate(ControlView::bytes(group.size()), true)) {
    endpoint_.self = *group.position(endpoint_.state->rank());
    endpoint_.controls[static_cast<std::size_t>(endpoint_.self)] = {
        endpoint_.state->arena().base() + control_.offset, group.size()};
  }

  ~ShmChannel() override {
    if (!endpoint_.state->in_own_process()) return;
    world::Arena& arena = endpoint_.state->arena();
    if (machinery_) {
      endpoint_.state->liveness().remove(*this);
      machinery_->failures.end();
      machinery_->failures.keep_from_peers(control_);
      if (const auto staging = machinery_->movement.staging().range()) {
        machinery_->failures.keep_from_peers(*staging);
        arena.free(*staging);
      }
    }
    arena.free(control_);
  }

  std::vector<std::byte> introduction() const override {
    const Introduction introduction{.members = static_cast<std::uint32_t>(endpoint_.size()),
                                    .control_offset = control_.offset};
    std::vector<std::byte> bytes(sizeof introduction);
    std::memcpy(bytes.data(), &introduction, sizeof introduction);
    return bytes;
  }

  void connect(std::span<const std::vector<std::byte>> introductions) override {
    endpoint_.for_each_peer([&](int i) {
      const int rank = endpoint_.group[i];
      const auto& bytes = introductions[static_cast<std::size_t>(i)];
      const world::Mapping& arena = endpoint_.state->arena_of(rank);
      Introduction introduction;
      if (bytes.size() == sizeof introduction)
        std::memcpy(&introduction, bytes.data(), sizeof introduction);
      const std::size_t needed = ControlView::bytes(endpoint_.size());
      if (bytes.size() != sizeof introduction ||
          introduction.layout != Introduction::current_layout ||
          introduction.members != static_cast<std::uint32_t>(endpoint_.size()) ||
          introduction.control_offset % alignof(Mailbox) != 0 ||
          introduction.control_offset > arena.bytes() ||
          arena.bytes() - introduction.control_offset < needed) {
        throw Error(
            ErrorCode::mismatch,
            fmt::format("Communicator on group {}: rank {} has another layout of control memory "
                        "than rank {}",
                        endpoint_.group.to_string(),
                        rank,
                        endpoint_.state->rank()),
            rank);
      }
      endpoint_.controls[static_cast<std::size_t>(i)] = {arena.base() + introduction.control_offset,
                                                         endpoint_.size()};
    });
    machinery_.emplace(endpoint_);
    endpoint_.state->liveness().add(*this);
  }

  void prepare(const Gather& gather) override {
    const Occupancy occupancy(*this);
    output_ = find(gather.output, gather.outer, gather.output_stride, gather.output_row_bytes);
    shard_ = find(gather.shard, gather.outer, gather.shard_stride, gather.shard_row_bytes);
    const auto offset = [](const auto& range) {
      return range ? std::optional(range->offset) : std::nullopt;
    };
    machinery_->agreement.prepare(make_header(gather, offset(shard_), offset(output_)),
                                  gather.outer);
    machinery_->movement.prepare(gather);
  }

  void all_gather(Stream stream) override {
    if (stream != Stream()) {
      throw Error(ErrorCode::invalid_argument, "all_gather: the CPU has only the default stream");
    }
    const Occupancy occupancy(*this);
    check();
    refuse_quarantined("output", output_);
    refuse_quarantined("shard", shard_);
    try {
      run();
    } catch (const Error& error) {
      fail(error);
      throw;
    } catch (const std::bad_alloc&) {
      const Error error(ErrorCode::out_of_memory,
                        endpoint_.operation() + ": out of memory",
                        endpoint_.state->rank());
      fail(error);
      throw error;
    }
  }

  void check() override {
    if (machinery_->failures.failed()) throw machinery_->failures.recorded();
  }

  void abort(std::string_view text) override {
    machinery_->failures.announce(
        Error(ErrorCode::peer_lost,
              fmt::format(
                  "{}: rank {} aborted: {}", endpoint_.operation(), endpoint_.state->rank(), text),
              endpoint_.state->rank()));
  }

  std::size_t control_bytes() const noexcept override { return control_.bytes; }

 private:
  // The parts that work on connected control memory.
  struct Machinery {
    explicit Machinery(const Endpoint& endpoint)
        : failures(endpoint),
          waiter(endpoint, failures),
          agreement(endpoint, waiter),
          movement(endpoint, failures, waiter, agreement) {}

    Failures failures;
    Waiter waiter;
    Agreement agreement;
    Movement movement;
  };

  // Who is inside: the calling thread, or the watcher, for a moment, when there is a failure.
  enum class Occupant : std::uint8_t { nobody, caller, watcher };

  class Occupancy {
   public:
    explicit Occupancy(ShmChannel& channel) : channel_(channel) {
      Occupant found = Occupant::nobody;
      while (!channel_.occupant_.compare_exchange_weak(
          found, Occupant::caller, std::memory_order_acquire)) {
        if (found == Occupant::caller) {
          throw Error(ErrorCode::invalid_argument,
                      "all_gather: another thread is in a call on this communicator");
        }
        if (found == Occupant::watcher) std::this_thread::yield();
        found = Occupant::nobody;
      }
    }
    ~Occupancy() { channel_.occupant_.store(Occupant::nobody, std::memory_order_release); }
    Occupancy(const Occupancy&) = delete;
    Occupancy& operator=(const Occupancy&) = delete;

   private:
    ShmChannel& channel_;
  };

  void run() {
    ++calls_;
    machinery_->waiter.begin_call();
    machinery_->movement.fill_outbox(calls_);
    const bool new_terms = machinery_->agreement.reach(calls_);
    if (new_terms) machinery_->movement.choose_routes();
    machinery_->movement.run(calls_);
  }

  // Fails the communicator for all, and sees to it that nobody writes to the output afterwards, or
  // that it is not used while somebody could.
  void fail(const Error& error) {
    machinery_->failures.announce(error);
    machinery_->failures.end();
    if (!machinery_->failures.wait_for_peers_to_end() && output_) {
      machinery_->failures.keep_from_peers(*output_);
    }
  }

  // On the watcher thread. Wakes a sleeping call so that it looks around; where there is no call,
  // ends this side of a failed communicator, so that its peers need not wait for the next one.
  void attention() noexcept override {
    Doorbell& doorbell = endpoint_.own().doorbell();
    doorbell.bell.fetch_add(1, std::memory_order_seq_cst);
    world::futex_wake_all(doorbell.bell);
    if (!machinery_->failures.failed()) return;
    Occupant nobody = Occupant::nobody;
    if (!occupant_.compare_exchange_strong(nobody, Occupant::watcher, std::memory_order_acquire))
      return;
    machinery_->failures.end();
    occupant_.store(Occupant::nobody, std::memory_order_release);
  }

  // Where a tensor lies in this rank's arena, if it does.
  std::optional<world::Range> find(const void* data,
                                   std::size_t outer,
                                   std::size_t stride,
                                   std::size_t row_bytes) {
    const world::Range relative = range_of(0, outer, stride, row_bytes);
    const auto offset = endpoint_.state->arena().offset_of(data, relative.bytes);
    if (!offset) return std::nullopt;
    return world::Range{*offset, relative.bytes};
  }

  void refuse_quarantined(std::string_view what, const std::optional<world::Range>& range) {
    if (!range || !endpoint_.state->arena().any_quarantined()) return;
    if (const auto rank = endpoint_.state->arena().holder(*range)) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "{}: the {} lies in memory that rank {} could still write, since a gather "
              "that it did not finish has failed; use other memory until it answers or dies",
              endpoint_.operation(),
              what,
              *rank),
          *rank);
    }
  }

  Endpoint endpoint_;
  const world::Range control_;
  std::optional<Machinery> machinery_;  // once connected
  std::uint64_t calls_ = 0;
  std::optional<world::Range> output_;  // of the prepared gather, where it lies in the arena
  std::optional<world::Range> shard_;
  std::atomic<Occupant> occupant_ = Occupant::nobody;
};

}  // namespace

bool serves(Device device) {
  return device.kind() == Device::Kind::cpu;
}

std::unique_ptr<Channel> open(std::shared_ptr<world::State> state,
                              const Group& group,
                              const CommunicatorOptions& options) {
  return std::make_unique<ShmChannel>(std::move(state), group, options);
}

}  // namespace muster::transport::shm

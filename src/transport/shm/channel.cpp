#include "transport/shm/channel.h"

#include "muster/error.h"
#include "transport/shm/agreement.h"
#include "transport/shm/endpoint.h"
#include "transport/shm/failure.h"
#include "transport/shm/introduction.h"
#include "transport/shm/movement.h"
#include "transport/shm/occupancy.h"
#include "transport/shm/places.h"
#include "transport/shm/waiter.h"
#include "world/deadline.h"
#include "world/liveness.h"

#include <fmt/format.h>

#include <cstdint>
#include <new>
#include <optional>
#include <utility>

namespace muster::transport::shm {

namespace {

class ShmChannel : public Channel, private world::Listener {
 public:
  ShmChannel(std::shared_ptr<world::State> state,
             const Group& group,
             const CommunicatorOptions& options)
      : endpoint_{.state = std::move(state),
                  .group = group,
                  .timeout = world::bounded(options.timeout),
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
      if (!held_) held_ = machinery_->failures.peers();
      if (const auto staging = machinery_->movement.staging().range()) arena.free(*staging, held_);
    }
    arena.free(control_, held_);
  }

  std::vector<std::byte> introduction() const override {
    Introduction introduction;
    introduction.members = static_cast<std::uint32_t>(endpoint_.size());
    introduction.control_offset = control_.offset;
    return to_bytes(introduction);
  }

  void connect(std::span<const std::vector<std::byte>> introductions) override {
    endpoint_.for_each_peer([&](int i) {
      const auto introduction = from_bytes<Introduction>(endpoint_,
                                                         i,
                                                         introductions[static_cast<std::size_t>(i)],
                                                         ControlView::bytes(endpoint_.size()));
      endpoint_.controls[static_cast<std::size_t>(i)] = {
          endpoint_.state->arena_of(endpoint_.group[i]).base() + introduction.control_offset,
          endpoint_.size()};
    });
    machinery_.emplace(endpoint_);
    endpoint_.state->liveness().add(*this);
    end_if_failed();
  }

  void abandon(std::shared_ptr<const world::Hold> hold) noexcept override {
    held_ = std::move(hold);
  }

  void prepare(const Gather& gather) override {
    const Occupancy::Call call(occupancy_);
    output_ = place_in(endpoint_.state->arena(), output_memory(gather));
    shard_ = place_in(endpoint_.state->arena(), shard_memory(gather));
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
    gather();
    end_if_failed();  // who failed meanwhile found this call inside
  }

  void check() override {
    if (machinery_->failures.failed()) throw machinery_->failures.recorded();
  }

  void abort(std::string_view text) override { machinery_->failures.abort(text); }

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

  void gather() {
    const Occupancy::Call call(occupancy_);
    if (machinery_->failures.failed()) {
      machinery_->failures.end();
      throw machinery_->failures.recorded();
    }
    refuse_quarantined(endpoint_, endpoint_.state->arena(), "output", output_);
    refuse_quarantined(endpoint_, endpoint_.state->arena(), "shard", shard_);
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

  void run() {
    ++calls_;
    machinery_->waiter.begin_call();
    machinery_->movement.fill_outbox(calls_);
    const bool new_terms =
        machinery_->agreement.reach(calls_, [&] { machinery_->movement.place_own_section(); });
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
    end_if_failed();
  }

  void end_if_failed() noexcept {
    if (!machinery_->failures.failed()) return;
    if (const Occupancy::Visit visit(occupancy_); visit) machinery_->failures.end();
  }

  Endpoint endpoint_;
  const world::Range control_;
  std::shared_ptr<const world::Hold> held_;  // by members that could write to this one's memory
  std::optional<Machinery> machinery_;       // once connected
  std::uint64_t calls_ = 0;
  std::optional<world::Range> output_;  // of the prepared gather, where it lies in the arena
  std::optional<world::Range> shard_;
  Occupancy occupancy_;
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

#include "gatherer.h"

#include "process_world.h"

#include <fmt/format.h>
#include <muster/error.h>
#include <muster/tensorrt_runtime.h>

#include <mutex>
#include <set>
#include <utility>

namespace muster::tensorrt {

namespace {

struct Live {
  std::mutex mutex;
  std::set<Gatherer*> gatherers;
};

// Layers may be destroyed when all else is gone.
Live& live() {
  static auto& all = *new Live;
  return all;
}

std::string how_to_launch(const World& world) {
  if (launched() || world.size() > 1) {
    return fmt::format("outside the job's {} ranks", world.size());
  }
  return "but this process was not started as a rank of a job; start it with "
         "`muster run -n N program`";
}

void check_membership(const Group& group, const World& world) {
  for (const int rank : group.ranks()) {
    if (rank >= world.size()) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("group {} has rank {}, {}", group.to_string(), rank, how_to_launch(world)));
    }
  }
  if (!group.position(world.rank())) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("this is rank {}, which is not in group {}; each rank runs an engine "
                            "whose groups it is in",
                            world.rank(),
                            group.to_string()));
  }
}

// With the layer's name in front of what `function` throws.
template <typename Function>
void named(const Settings& settings, const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    throw Error(error.code(), label_of(settings) + ": " + error.what(), error.peer());
  }
}

}  // namespace

Gatherer::Gatherer(Settings settings, Device device) noexcept
    : settings_(std::move(settings)), device_(device) {
  try {
    world_ = current_world();
    check_membership(settings_.group, *world_);
    number_.emplace(*world_, settings_.name, settings_.group);
    meeting_ = std::async(std::launch::async, [this] { return start(); });
    const std::lock_guard lock(live().mutex);
    live().gatherers.insert(this);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

Gatherer::~Gatherer() {
  const std::lock_guard lock(live().mutex);
  live().gatherers.erase(this);
}

Communicator Gatherer::start() {
  return {*world_,
          settings_.group,
          {.timeout = settings_.timeout,
           .tag = fmt::format("tensorrt/{}#{}{}",
                              settings_.name,
                              number_->value(),
                              settings_.share_communicator ? " shared" : ""),
           .device = device_}};
}

void Gatherer::meet() {
  const std::lock_guard lock(mutex_);
  wait_for_communicator();
}

void Gatherer::wait_for_communicator() {
  if (communicator_) return;
  named(settings_, [&] {
    if (failure_) std::rethrow_exception(failure_);
    try {
      communicator_.emplace(meeting_.get());
    } catch (...) {
      failure_ = std::current_exception();
      throw;
    }
  });
}

void Gatherer::run(const EngineTensor& section, const EngineTensor& output, Stream stream) {
  const std::lock_guard lock(mutex_);
  wait_for_communicator();
  named(settings_, [&] {
    try {
      gather(section, output, stream);
    } catch (const std::exception& error) {
      // The others are in this gather, or will be: they need not wait for their timeout. Where the
      // communicator has failed already this changes nothing.
      communicator_->abort(label_of(settings_) + ": " + describe(error));
      throw;
    }
  });
}

void Gatherer::gather(const EngineTensor& section, const EngineTensor& output, Stream stream) {
  const Shape shape = gathered_shape(settings_, section.shape, communicator_->position());
  if (output.type != section.type || output.shape != shape) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the engine's output is {} {}, but it must be {} {}",
                            type_name(output.type),
                            output.shape.to_string(),
                            type_name(section.type),
                            shape.to_string()));
  }
  const DataType dtype = to_dtype(section.type);
  communicator_->all_gather({section.data, dtype, section.shape},
                            {output.data, dtype, output.shape},
                            settings_.gather_dim,
                            stream);
}

void Gatherer::check() {
  const std::lock_guard lock(mutex_);
  if (communicator_) named(settings_, [&] { communicator_->check(); });
}

void check() {
  const std::shared_ptr<World> world = current_world();
  const std::lock_guard lock(live().mutex);
  for (Gatherer* gatherer : live().gatherers) {
    if (gatherer->is_in(*world)) gatherer->check();
  }
}

std::string describe(const std::exception& error) {
  const auto* own = dynamic_cast<const Error*>(&error);
  return own == nullptr ? error.what() : std::string(to_string(own->code())) + ": " + own->what();
}

}  // namespace muster::tensorrt

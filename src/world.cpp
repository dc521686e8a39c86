#include "muster/world.h"

#include "muster/error.h"
#include "world/allocation.h"
#include "world/meeting.h"
#include "world/state.h"
#include "world/survivors.h"

#include <fmt/format.h>

#include <utility>

namespace muster {

namespace {

void require_timeout(std::chrono::milliseconds timeout, std::string_view operation) {
  if (timeout.count() < 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: a timeout of {} ms", operation, timeout.count()));
  }
}

}  // namespace

World::World(std::shared_ptr<world::State> state) noexcept : state_(std::move(state)) {}
World::~World() = default;
World::World(World&&) noexcept = default;
World& World::operator=(World&&) noexcept = default;

World World::join(std::chrono::milliseconds timeout) {
  require_timeout(timeout, "World::join");
  return World(world::State::join(timeout));
}

std::vector<World> World::threads(int size) {
  if (size < 1 || size > max_size) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("World::threads: {} ranks; a world has 1 to {}", size, max_size));
  }
  std::vector<World> worlds;
  for (auto& state : world::State::threads(size)) worlds.push_back(World(std::move(state)));
  return worlds;
}

int World::rank() const noexcept {
  return state_->rank();
}
int World::size() const noexcept {
  return state_->size();
}

Buffer World::allocate(std::size_t bytes, Device device) {
  state_->require_own_process("World::allocate");
  world::Arena* arena = &state_->arena();
  if (device != Device::cpu()) arena = &state_->device_memory().arena(device.ordinal());
  if (bytes == 0) return {};
  return Buffer(std::make_unique<world::Allocation>(state_, *arena, bytes));
}

std::vector<std::vector<std::byte>> World::exchange(const Group& group,
                                                    std::span<const std::byte> bytes,
                                                    std::chrono::milliseconds timeout) {
  require_timeout(timeout, "World::exchange");
  state_->require_member(group, "World::exchange");
  if (bytes.size() > longest_blob) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "World::exchange: a blob of {} bytes; the longest is {}", bytes.size(), longest_blob));
  }
  const auto deadline = world::deadline_after(timeout);
  const std::string operation = "World::exchange on group " + group.to_string();
  const world::Claim claim(*state_, {world::Topic::exchange, group, ""}, deadline);
  if (!claim.owns()) {
    throw Error(
        ErrorCode::timeout, operation + ": another thread of this rank is still in it", rank());
  }
  world::Meeting meeting(*state_, claim.subject(), bytes, deadline, operation);
  world::Holds holds(*state_);
  auto blobs = meeting.gather(holds);
  meeting.confirm();
  return blobs;
}

Group World::survivors(const Group& group, std::chrono::milliseconds timeout) {
  require_timeout(timeout, "World::survivors");
  state_->require_member(group, "World::survivors");
  return world::survivors(*state_, group, world::deadline_after(timeout));
}

}  // namespace muster

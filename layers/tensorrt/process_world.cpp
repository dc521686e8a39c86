#include "process_world.h"

#include <muster/tensorrt_runtime.h>

#include <cstdlib>
#include <exception>
#include <utility>

namespace muster::tensorrt {

namespace {

struct Joined {
  std::shared_ptr<World> world;
  std::exception_ptr failure;
};

Joined join() {
  try {
    return {.world = std::make_shared<World>(World::join()), .failure = nullptr};
  } catch (...) {
    return {.world = nullptr, .failure = std::current_exception()};
  }
}

std::shared_ptr<World>& world_of_thread() {
  thread_local std::shared_ptr<World> world;
  return world;
}

}  // namespace

void use_world(std::shared_ptr<World> world) noexcept {
  world_of_thread() = std::move(world);
}

std::shared_ptr<World> current_world() {
  if (world_of_thread()) return world_of_thread();
  // Never destroyed: engines may outlive everything else in the process.
  static const Joined& joined = *new Joined(join());
  if (joined.failure) std::rethrow_exception(joined.failure);
  return joined.world;
}

bool launched() {
  return std::getenv("MUSTER_RANK") != nullptr;
}

}  // namespace muster::tensorrt

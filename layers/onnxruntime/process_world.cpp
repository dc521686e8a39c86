#include "process_world.h"

#include <muster/error.h>

#include <cstdlib>
#include <exception>
#include <memory>

namespace muster::onnxruntime {

namespace {

struct Joined {
  World* world = nullptr;
  std::exception_ptr failure;
};

Joined join() {
  try {
    return {.world = new World(World::join()), .failure = nullptr};
  } catch (...) {
    return {.world = nullptr, .failure = std::current_exception()};
  }
}

}  // namespace

World& process_world() {
  static const Joined& joined = *new Joined(join());
  if (joined.failure) std::rethrow_exception(joined.failure);
  return *joined.world;
}

bool launched() {
  return std::getenv("MUSTER_RANK") != nullptr;
}

}  // namespace muster::onnxruntime

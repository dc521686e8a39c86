// The suite on the CPU.
#include "conformance/transport.h"

#include <cstring>

namespace muster::test {
namespace {

class HostMemory : public Memory {
 public:
  Block allocate(World& world, Place place, std::size_t bytes) const override {
    if (place == Place::buffer) {
      auto buffer = std::make_shared<Buffer>(world.allocate(bytes));
      return {buffer->data(), buffer};
    }
    auto bytes_of_my_own = std::make_shared<std::vector<std::byte>>(bytes);
    return {bytes_of_my_own->data(), bytes_of_my_own};
  }
  void copy(void* to, const void* from, std::size_t bytes) const override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  CommunicatorOptions options(const World&) const override { return {}; }
  void finish(Communicator& communicator) const override { communicator.check(); }
};

}  // namespace

const Memory& memory_of_the_suite() {
  static const HostMemory memory;
  return memory;
}

Sizes sizes_of_the_suite() {
  return {.as_threads = {1, 2, 3, 4, 8, 64}, .as_processes = {2, 4, 32}};
}

}  // namespace muster::test

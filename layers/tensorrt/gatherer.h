// What an AllGather layer of one execution context does when the context runs.
#pragma once

#include "layer_number.h"
#include "settings.h"

#include <muster/communicator.h>
#include <muster/device.h>
#include <muster/shape.h>

#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace muster::tensorrt {

// A tensor as the engine hands it to a layer.
struct EngineTensor {
  void* data = nullptr;
  TypeId type = 0;
  Shape shape;
};

// Thread-safe. Execution contexts that share one run in the same order on all ranks.
class Gatherer {
 public:
  // Starts to make the communicator with the other ranks, in the calling thread's world, and does
  // not wait for them: they may make their layers in another order. Never throws; what goes wrong,
  // the first run says.
  Gatherer(Settings settings, Device device) noexcept;
  // Waits until the communicator is made, or its making has failed or timed out.
  ~Gatherer();
  Gatherer(const Gatherer&) = delete;
  Gatherer& operator=(const Gatherer&) = delete;

  // Waits for the communicator. Throws Error.
  void meet();

  // Enqueues the gather. Throws Error, naming the layer; the other ranks then fail too.
  void run(const EngineTensor& section, const EngineTensor& output, Stream stream);

  // Throws the failure that has happened on the device, if any, naming the layer.
  void check();

  // Does it gather in that world?
  bool is_in(const World& world) const noexcept { return world_.get() == &world; }

 private:
  Communicator start();
  void wait_for_communicator();  // with mutex_ held, as gather()
  void gather(const EngineTensor& section, const EngineTensor& output, Stream stream);

  const Settings settings_;
  const Device device_;
  std::mutex mutex_;
  std::shared_ptr<World> world_;
  std::optional<LayerNumber> number_;
  std::exception_ptr failure_;  // to start at all
  std::future<Communicator> meeting_;
  std::optional<Communicator> communicator_;
};

// "peer_lost: " and so on in front of a muster::Error's text, nothing in front of others.
std::string describe(const std::exception& error);

}  // namespace muster::tensorrt

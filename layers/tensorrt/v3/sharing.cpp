// Gatherers that contexts share, as resources of TensorRT's plugin registry.
#include "../adapter.h"
#include "../engine.h"

#include <muster/error.h>

#include <exception>
#include <utility>

namespace muster::tensorrt {

namespace {

// What is offered to the registry does not gather: it keeps a clone, if it has none of that key.
class SharedGatherer final : public nvinfer1::IPluginResource {
 public:
  SharedGatherer(Settings settings, Device device)
      : settings_(std::move(settings)), device_(device) {}

  SharedGatherer* clone() noexcept override {
    SharedGatherer* copy = nullptr;
    guarded(nullptr, [&] {
      auto made = std::make_unique<SharedGatherer>(settings_, device_);
      made->gatherer_ = std::make_unique<Gatherer>(settings_, device_);
      copy = made.release();
    });
    return copy;
  }

  std::int32_t release() noexcept override {
    gatherer_.reset();
    return 0;
  }

  Gatherer& gatherer() { return *gatherer_; }

 private:
  Settings settings_;
  Device device_;
  std::unique_ptr<Gatherer> gatherer_;  // of a clone
};

// The last holder's release destroys the gatherer, with the registry's mutex held. Its making,
// which waits for other ranks, and these may be threads that come here too, is waited for before.
void give_back(nvinfer1::IPluginRegistry& plugins, const std::string& key, Gatherer& gatherer) {
  try {
    gatherer.meet();
  } catch (const std::exception&) {  // said by the runs, if there were any
  }
  plugins.releasePluginResource(key.c_str());
}

}  // namespace

std::shared_ptr<Gatherer> shared_gatherer(const Settings& settings, Device device) {
  nvinfer1::IPluginRegistry* plugins = registry();
  if (plugins == nullptr) {
    throw Error(ErrorCode::unsupported,
                label_of(settings) +
                    ": TensorRT's plugin registry, by which contexts share a "
                    "communicator, is not in this process");
  }
  std::string key = sharing_key(settings, device);
  SharedGatherer offer(settings, device);
  auto* shared = static_cast<SharedGatherer*>(plugins->acquirePluginResource(key.c_str(), &offer));
  if (shared == nullptr) {
    throw Error(ErrorCode::system,
                label_of(settings) + ": TensorRT's plugin registry keeps no resource");
  }
  return {&shared->gatherer(), [plugins, key = std::move(key)](Gatherer* gatherer) {
            give_back(*plugins, key, *gatherer);
          }};
}

}  // namespace muster::tensorrt

#include "../adapter.h"
#include "../engine.h"

#include <map>
#include <mutex>

namespace muster::tensorrt {

// These releases have no resources that plugins share: the library keeps its own list.
std::shared_ptr<Gatherer> shared_gatherer(const Settings& settings, Device device) {
  static std::mutex mutex;
  static auto& gatherers = *new std::map<std::string, std::weak_ptr<Gatherer>>;
  const std::string key = sharing_key(settings, device);
  const std::lock_guard lock(mutex);
  std::erase_if(gatherers, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Gatherer>& known = gatherers[key];
  if (auto shared = known.lock()) return shared;
  auto made = std::make_shared<Gatherer>(settings, device);
  known = made;
  return made;
}

}  // namespace muster::tensorrt

#include "layer_number.h"

#include <algorithm>
#include <mutex>

namespace muster::tensorrt {

namespace {

std::mutex mutex;

// Members that disagree about the order shall meet, and be told.
std::vector<int> sorted(const Group& group) {
  std::vector<int> ranks(group.ranks().begin(), group.ranks().end());
  std::ranges::sort(ranks);
  return ranks;
}

}  // namespace

// Layers may be destroyed when all else is gone.
std::map<LayerNumber::Key, std::set<int>>& LayerNumber::taken() {
  static auto& all = *new std::map<Key, std::set<int>>;
  return all;
}

LayerNumber::LayerNumber(const World& world, const std::string& name, const Group& group)
    : key_(&world, name, sorted(group)) {
  const std::lock_guard lock(mutex);
  std::set<int>& numbers = taken()[key_];
  while (numbers.contains(value_)) ++value_;
  numbers.insert(value_);
}

LayerNumber::~LayerNumber() {
  const std::lock_guard lock(mutex);
  const auto found = taken().find(key_);
  found->second.erase(value_);
  if (found->second.empty()) taken().erase(found);
}

}  // namespace muster::tensorrt

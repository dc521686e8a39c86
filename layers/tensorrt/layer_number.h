// By which number the ranks of a group find each other's layers of one name.
#pragma once

#include <muster/group.h>
#include <muster/world.h>

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace muster::tensorrt {

// Several execution contexts have layers of one name. (Within an engine names are distinct: in
// which order TensorRT attaches the layers of a context is not known.) A layer takes the lowest
// number that no other layer of its name, group and world has at the moment, so ranks that make and
// destroy contexts in the same order agree, and agree again after a failure once they have
// destroyed what failed. Thread-safe.
class LayerNumber {
 public:
  LayerNumber(const World& world, const std::string& name, const Group& group);
  ~LayerNumber();
  LayerNumber(const LayerNumber&) = delete;
  LayerNumber& operator=(const LayerNumber&) = delete;

  int value() const noexcept { return value_; }

 private:
  using Key = std::tuple<const World*, std::string, std::vector<int>>;  // ranks sorted

  static std::map<Key, std::set<int>>& taken();

  Key key_;
  int value_ = 0;
};

}  // namespace muster::tensorrt

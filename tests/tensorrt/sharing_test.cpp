// Gatherers that the execution contexts of a layer share, on the CPU.
#include "adapter.h"
#include "ranks.h"
#include "support/errors.h"
#include "support/require.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <thread>

namespace muster::tensorrt {
namespace {

using namespace std::chrono_literals;
using test::as_ranks;
using test::require;
using test::thrown_by;

constexpr TypeId int32 = 3;

Settings settings_of(const std::string& name, const Group& group) {
  Settings settings;
  settings.name = name;
  settings.group = group;
  settings.timeout = 10s;
  settings.share_communicator = true;
  return settings;
}

std::shared_ptr<Gatherer> shared(const Settings& settings) {
  return shared_gatherer(settings, Device::cpu());
}

void gather(Gatherer& gatherer, const World& world, std::int32_t round) {
  const std::array<std::int32_t, 1> section{round + world.rank()};
  std::array<std::int32_t, 2> whole{};
  gatherer.run(
      {const_cast<std::int32_t*>(section.data()), int32, {1}}, {whole.data(), int32, {2}}, {});
  require(whole == std::array{round, round + 1}, "the output is wrong");
}

TEST(TensorRTSharing, GivesContextsOfALayerOneGatherer) {
  as_ranks(2, [](World& world) {
    const Settings settings = settings_of("layer", Group::range(2));
    const auto first = shared(settings), second = shared(settings);
    require(first == second, "they are two");
    // The peer cannot tell which of them runs.
    for (std::int32_t round = 0; round < 4; ++round) {
      gather(world.rank() == 0 && round % 2 == 1 ? *second : *first, world, round);
    }
  });
}

TEST(TensorRTSharing, LastsUntilTheLastContextHasGoneAndMayBeginAgain) {
  as_ranks(2, [](World& world) {
    const Settings settings = settings_of("layer", Group::range(2));
    for (int life = 0; life < 3; ++life) {
      auto first = shared(settings), second = shared(settings);
      gather(*first, world, 1);
      first.reset();
      gather(*second, world, 2);
    }
  });
}

TEST(TensorRTSharing, IsOverForAllWhenOneHasFailedUntilAllHaveGone) {
  as_ranks(2, [](World& world) {
    const Settings settings = settings_of("layer", Group::range(2));
    {
      const auto first = shared(settings), second = shared(settings);
      gather(*first, world, 1);
      world.exchange(Group::range(2), {});  // both have gathered before one fails
      if (world.rank() == 0) {
        std::array<std::int32_t, 3> wrong{};
        thrown_by([&] { first->run({wrong.data(), int32, {1}}, {wrong.data(), int32, {3}}, {}); });
      } else {
        thrown_by([&] { gather(*first, world, 2); });
      }
      thrown_by([&] { gather(*second, world, 3); });
    }
    gather(*shared(settings), world, 4);
  });
}

TEST(TensorRTSharing, IsOfOneLayerWithItsSettingsInOneWorld) {
  as_ranks(2, [](World& world) {
    const Settings settings = settings_of("layer", Group{world.rank()});
    Settings other_dimension = settings;
    other_dimension.gather_dim = 1;
    const auto one = shared(settings);
    require(one != shared(settings_of("another", settings.group)), "two layers share");
    require(one != shared(other_dimension), "different gathers share");
    require(one->is_in(world), "it is another rank's");
  });
}

TEST(TensorRTSharing, CanBeDroppedWhileAnotherRankOfTheProcessHasNotComeYet) {
  as_ranks(2, [](World& world) {
    if (world.rank() == 1) std::this_thread::sleep_for(100ms);
    const auto gatherer = shared(settings_of("layer", Group::range(2)));
    if (world.rank() == 1) gatherer->meet();
  });
}

}  // namespace
}  // namespace muster::tensorrt

// What a layer does when its context runs, without TensorRT and on the CPU.
#include "gatherer.h"

#include "arena_memory.h"
#include "ranks.h"
#include "support/errors.h"
#include "support/require.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace muster::tensorrt {
namespace {

using test::as_ranks;
using test::HasSubstr;
using test::require;
using test::require_error;
using test::require_text;
using test::thrown_by;

constexpr TypeId int32 = 3;

Settings settings_of(const std::string& name, Group group, int gather_dim = 0) {
  Settings settings;
  settings.name = name;
  settings.group = std::move(group);
  settings.gather_dim = gather_dim;
  settings.timeout = std::chrono::seconds(10);
  return settings;
}

// Each rank has a column of two rows.
struct Column {
  explicit Column(World& world)
      : section{world.rank(), 100 + world.rank()},
        whole(static_cast<std::size_t>(2 * world.size()), -1) {}

  void gather(Gatherer& gatherer) {
    gatherer.run({section.data(), int32, {2, 1}},
                 {whole.data(), int32, {2, static_cast<std::int64_t>(whole.size() / 2)}},
                 {});
  }

  void expect_whole() const {
    const auto columns = whole.size() / 2;
    for (std::size_t i = 0; i < columns; ++i) {
      require(whole[i] == static_cast<std::int32_t>(i), "the first row is wrong");
      require(whole[columns + i] == static_cast<std::int32_t>(100 + i), "the second row is wrong");
    }
  }

  std::array<std::int32_t, 2> section;
  std::vector<std::int32_t> whole;
};

TEST(TensorRTGatherer, GathersAlongTheLastDimension) {
  as_ranks(3, [](World& world) {
    Gatherer gatherer(settings_of("layer", Group::range(3), -1), Device::cpu());
    Column column(world);
    for (int round = 0; round < 3; ++round) column.gather(gatherer);
    column.expect_whole();
    gatherer.check();
  });
}

TEST(TensorRTGatherer, DoesNotCareInWhichOrderRanksMakeTheirLayers) {
  as_ranks(2, [](World& world) {
    const Settings a = settings_of("a", Group::range(2), -1);
    const Settings b = settings_of("b", Group::range(2), -1);
    Gatherer first(world.rank() == 0 ? a : b, Device::cpu());
    Gatherer second(world.rank() == 0 ? b : a, Device::cpu());
    first.meet();
    Column column(world);
    column.gather(world.rank() == 0 ? first : second);
    column.gather(world.rank() == 0 ? second : first);
    column.expect_whole();
  });
}

TEST(TensorRTGatherer, NumbersTheLayersOfOneNameInTheOrderOfTheirMaking) {
  as_ranks(2, [](World& world) {
    const Settings settings = settings_of("allgather", Group::range(2), -1);
    for (int round = 0; round < 3; ++round) {
      Gatherer first(settings, Device::cpu());
      Gatherer second(settings, Device::cpu());
      Column column(world);
      column.gather(first);
      column.gather(second);
      column.expect_whole();
    }
  });
}

TEST(TensorRTGatherer, TellsAllRanksOfAMismatchAndNamesTheLayer) {
  as_ranks(2, [](World& world) {
    Settings settings = settings_of("logits", Group::range(2));
    if (world.rank() == 1) settings.gather_dim = 1;
    Gatherer gatherer(settings, Device::cpu());
    std::array<std::int32_t, 8> section{}, whole{};
    const Shape shape = world.rank() == 0 ? Shape{4, 2} : Shape{2, 4};
    const Error error = require_error(ErrorCode::mismatch, "the gather", [&] {
      gatherer.run({section.data(), int32, {2, 2}}, {whole.data(), int32, shape}, {});
    });
    require_text(error, {"AllGather layer 'logits'", "rank 0", "rank 1", "[2, 2]"});
  });
}

TEST(TensorRTGatherer, TellsTheOthersWhenARankCannotTakePart) {
  as_ranks(2, [](World& world) {
    Settings settings = settings_of("logits", Group::range(2));
    settings.sizes = {2, 3};
    Gatherer gatherer(settings, Device::cpu());
    std::array<std::int32_t, 5> section{}, whole{};
    const Error error = thrown_by([&] {
      gatherer.run({section.data(), int32, {2}}, {whole.data(), int32, {5}}, {});
    });
    require(error.code() == (world.rank() == 1 ? ErrorCode::mismatch : ErrorCode::peer_lost),
            test::described(error));
    require_text(error, {"rank 1 has a section of shape [2]", "extent 3"});
  });
}

TEST(TensorRTGatherer, SaysWhyARankIsNotInTheGroup) {
  as_ranks(2, [](World& world) {
    Gatherer outside(settings_of("layer", Group{1 - world.rank()}), Device::cpu());
    require_text(require_error(ErrorCode::invalid_argument, "meeting", [&] { outside.meet(); }),
                 {"AllGather layer 'layer'", "which is not in group"});
    Gatherer beyond(settings_of("layer", Group{0, 1, 2}), Device::cpu());
    require_text(require_error(ErrorCode::invalid_argument, "meeting", [&] { beyond.meet(); }),
                 {"has rank 2, outside the job's 2 ranks"});
  });
}

TEST(TensorRTGatherer, SaysHowToLaunchWhereNobodyHas) {
  Gatherer gatherer(settings_of("layer", Group{0, 1}), Device::cpu());
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THAT(thrown_by([&] { gatherer.meet(); }).what(), HasSubstr("muster run -n N"));
  }
}

TEST(TensorRTGatherer, GathersAloneWithoutALauncher) {
  Gatherer gatherer(settings_of("alone", Group{0}), Device::cpu());
  std::array<std::int32_t, 2> section{5, 6}, whole{};
  gatherer.run({section.data(), int32, {2}}, {whole.data(), int32, {2}}, {});
  EXPECT_EQ(whole, section);
}

TEST(TensorRTGatherer, WaitsForAPeerOnlyUntilItsTimeout) {
  as_ranks(2, [](World& world) {
    if (world.rank() == 1) return;
    Settings settings = settings_of("layer", Group::range(2));
    settings.timeout = std::chrono::milliseconds(50);
    Gatherer gatherer(settings, Device::cpu());
    thrown_by([&] { gatherer.meet(); });
  });
}

TEST(TensorRTGatherer, DoesNotMeetOneThatContextsShareIfItIsOfOneContext) {
  as_ranks(2, [](World& world) {
    Settings settings = settings_of("layer", Group::range(2));
    settings.timeout = std::chrono::milliseconds(200);
    settings.share_communicator = world.rank() == 0;
    Gatherer gatherer(settings, Device::cpu());
    require_text(thrown_by([&] { gatherer.meet(); }), {"AllGather layer 'layer'"});
  });
}

TEST(TensorRTGatherer, ReportsAFailureThatNobodyHasAskedForYet) {
  as_ranks(2, [](World& world) {
    auto gatherer =
        std::make_unique<Gatherer>(settings_of("layer", Group::range(2), -1), Device::cpu());
    Column column(world);
    column.gather(*gatherer);
    tensorrt::check();
    world.exchange(Group::range(2), {});  // both have checked before one fails
    if (world.rank() == 1) {
      std::array<std::int32_t, 2> wrong{};
      thrown_by([&] { gatherer->run({wrong.data(), int32, {2}}, {wrong.data(), int32, {2}}, {}); });
      return;
    }
    const Error error = thrown_by([&] { column.gather(*gatherer); });
    require_text(error, {"AllGather layer 'layer'"});
    thrown_by([] { tensorrt::check(); });
  });
}

TEST(ArenaMemory, AlignsItsBlocksAndKnowsThemAgain) {
  std::vector<World> worlds = World::threads(1);
  ArenaMemory memory(std::make_shared<World>(std::move(worlds[0])), Device::cpu());
  for (const std::uint64_t alignment : {0, 1, 256, 4096}) {
    void* block = memory.allocate(1000, alignment);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % std::max<std::uint64_t>(alignment, 1), 0U);
    EXPECT_TRUE(memory.free(block));
    EXPECT_FALSE(memory.free(block));
  }
  EXPECT_EQ(memory.allocate(0, 256), nullptr);
  EXPECT_EQ(memory.allocate(std::uint64_t{1} << 62, 256), nullptr);
  EXPECT_TRUE(memory.free(nullptr));
}

}  // namespace
}  // namespace muster::tensorrt

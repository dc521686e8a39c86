// Random gathers on random groups. MUSTER_TEST_CASES sets how many; RC_PARAMS="seed=..." repeats a
// run that failed.
#include "conformance/gather.h"
#include "conformance/suite.h"
#include "support/process.h"

#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <vector>

namespace muster::test {
namespace {

void act_series(Rank& rank) {
  const auto all = nlohmann::json::parse(rank.argument).get<std::vector<Series>>();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Group group(all[i].group);
    if (!group.position(rank.world.rank())) continue;
    Communicator communicator(rank.world, group, rank.options("series " + std::to_string(i)));
    for (const Gather& gather : all[i].gathers) gather_and_check(rank, communicator, gather);
  }
}
const RegisteredScenario registered_series(Scenario{"act series", act_series});

int cases_for(const Setting& setting) {
  const char* asked = std::getenv("MUSTER_TEST_CASES");
  const int cases = asked != nullptr ? std::atoi(asked) : memory_of_the_suite().communicators(60);
  return std::max(cases / (setting.size > 8 ? 10 : setting.size > 4 ? 4 : 1), 1);
}

TEST_P(Conformance, GathersWhateverIsRandom) {
  const Setting& setting = GetParam();
  Clock::time_point shrink_until = Clock::time_point::max();

  const auto property = [&] {
    const auto all = *rc::gen::nonEmpty(rc::gen::scale(
        0.1,
        rc::gen::container<std::vector<Series>>(rc::gen::scale(10.0, any_series(setting.size)))));
    // Each smaller case that fails again may take its timeout: enough is enough.
    if (Clock::now() > shrink_until) return;
    const std::string failure = setting.transport->run(
        setting.size, scenario_named("act series"), nlohmann::json(all).dump());
    if (failure.empty()) return;
    shrink_until = std::min(shrink_until, Clock::now() + std::chrono::seconds(30));
    RC_FAIL(failure);
  };

  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = cases_for(setting);
  const rc::detail::TestMetadata name{setting.name, "gathers on random groups"};
  const auto result = rc::detail::checkTestable(property, name, params);
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  EXPECT_TRUE(result.is<rc::detail::SuccessResult>())
      << "RC_PARAMS=\"seed=" << params.seed << "\": " << text.str();
}

}  // namespace
}  // namespace muster::test

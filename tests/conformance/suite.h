// How a test of the suite is written: its body acts as one rank, on every transport and every size.
#pragma once

#include "conformance/transport.h"
#include "support/require.h"

#include <gtest/gtest.h>

#include <string>

namespace muster::test {

class Conformance : public ::testing::TestWithParam<Setting> {
 protected:
  void run(const std::string& scenario) {
    const Setting& setting = GetParam();
    EXPECT_EQ(setting.transport->run(setting.size, scenario_named(scenario), ""), "");
  }
};

}  // namespace muster::test

// The body sees `rank`, and throws when something is wrong. Use at namespace scope, unnamed.
#define CONFORMANCE_TEST(sentence)                                                     \
  void act_##sentence(Rank& rank);                                                     \
  const RegisteredScenario registered_##sentence(Scenario{#sentence, act_##sentence}); \
  TEST_P(Conformance, sentence) {                                                      \
    run(#sentence);                                                                    \
  }                                                                                    \
  void act_##sentence([[maybe_unused]] Rank& rank)

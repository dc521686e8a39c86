// Where the suite runs.
#include "conformance/suite.h"

namespace muster::test {

// A machine without a GPU has no setting for one.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Conformance);

INSTANTIATE_TEST_SUITE_P(On,
                         Conformance,
                         ::testing::ValuesIn(all_settings()),
                         [](const auto& test) {
                           return test.param.name + "_" + std::to_string(test.param.size);
                         });

}  // namespace muster::test

#include "support/errors.h"

#include <muster/group.h>

#include <gtest/gtest.h>

#include <vector>

namespace muster::test {
namespace {

TEST(Group, KeepsTheOrderOfItsRanks) {
  const Group group{4, 0, 2};
  EXPECT_EQ(group.size(), 3);
  EXPECT_EQ(group[0], 4);
  EXPECT_EQ(group[1], 0);
  EXPECT_EQ(group[2], 2);
  EXPECT_EQ(group.to_string(), "[4,0,2]");
  EXPECT_NE(group, (Group{0, 2, 4}));
}

TEST(Group, KnowsThePositionOfItsMembersOnly) {
  const Group group{4, 0, 2};
  EXPECT_EQ(group.position(4), 0);
  EXPECT_EQ(group.position(2), 2);
  EXPECT_EQ(group.position(1), std::nullopt);
  EXPECT_EQ(group.position(-1), std::nullopt);
}

TEST(Group, RangeIsTheRanksFromZero) {
  EXPECT_EQ(Group::range(3), (Group{0, 1, 2}));
  for (const int size : {0, -1}) {
    EXPECT_EQ(thrown_by([&] { Group::range(size); }).code(), ErrorCode::invalid_argument);
  }
}

TEST(Group, RefusesAnEmptyList) {
  const Error error = thrown_by([] { Group(std::vector<int>{}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
}

TEST(Group, RefusesADuplicateAndNamesIt) {
  const Error error = thrown_by([] { Group({3, 1, 2, 1}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("[3,1,2,1]"), HasSubstr("rank 1 more than once")));
}

TEST(Group, RefusesANegativeRankAndNamesIt) {
  const Error error = thrown_by([] { Group({0, -7}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), HasSubstr("-7"));
}

}  // namespace
}  // namespace muster::test

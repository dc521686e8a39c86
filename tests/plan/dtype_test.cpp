#include "support/array.h"
#include "support/errors.h"

#include <muster/dtype.h>

#include <gtest/gtest.h>

#include <set>

namespace muster::test {
namespace {

TEST(DataType, HasTheBitsThatItsNameSays) {
  for (const DataType dtype : all_dtypes()) {
    EXPECT_EQ(bits(dtype), element_bits(dtype)) << to_string(dtype);
  }
}

TEST(DataType, HasANameThatParsesBack) {
  std::set<std::string_view> names;
  for (const DataType dtype : all_dtypes()) {
    EXPECT_EQ(parse_dtype(to_string(dtype)), dtype);
    names.insert(to_string(dtype));
  }
  EXPECT_EQ(names.size(), dtype_count);
}

TEST(DataType, IsUnknownOutsideTheEnumeration) {
  for (const int value : {0, static_cast<int>(dtype_count) + 1, 255}) {
    EXPECT_EQ(bits(static_cast<DataType>(value)), 0);
    EXPECT_EQ(to_string(static_cast<DataType>(value)), "unknown");
  }
}

TEST(DataType, RefusesAnUnknownNameAndListsTheKnownOnes) {
  const Error error = thrown_by([] { parse_dtype("float12"); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), HasSubstr("\"float12\""));
  EXPECT_THAT(error.what(), HasSubstr("bool8, int8"));
  EXPECT_THAT(error.what(), HasSubstr("float4_e2m1"));
}

// Ranks of different builds compare these numbers.
TEST(DataType, KeepsTheNumbersThatTravelBetweenRanks) {
  EXPECT_EQ(static_cast<int>(DataType::bool8), 1);
  EXPECT_EQ(static_cast<int>(DataType::float16), 10);
  EXPECT_EQ(static_cast<int>(DataType::float4_e2m1), 20);
}

}  // namespace
}  // namespace muster::test

#include "support/errors.h"

#include <gtest/gtest.h>

namespace muster::test {
namespace {

TEST(Error, CarriesItsCodeItsTextAndThePeerToBlame) {
  const Error error = thrown_by([] { throw Error(ErrorCode::peer_lost, "rank 3 died", 3); });
  EXPECT_EQ(error.code(), ErrorCode::peer_lost);
  EXPECT_EQ(error.peer(), 3);
  EXPECT_STREQ(error.what(), "rank 3 died");
}

TEST(Error, HasNobodyToBlameUnlessTold) {
  EXPECT_EQ(Error(ErrorCode::system, "no descriptors").peer(), std::nullopt);
}

TEST(Error, CodeHasItsEnumeratorsName) {
  EXPECT_EQ(to_string(ErrorCode::invalid_argument), "invalid_argument");
  EXPECT_EQ(to_string(ErrorCode::mismatch), "mismatch");
  EXPECT_EQ(to_string(ErrorCode::timeout), "timeout");
  EXPECT_EQ(to_string(ErrorCode::peer_lost), "peer_lost");
  EXPECT_EQ(to_string(ErrorCode::out_of_memory), "out_of_memory");
  EXPECT_EQ(to_string(ErrorCode::unsupported), "unsupported");
  EXPECT_EQ(to_string(ErrorCode::system), "system");
}

}  // namespace
}  // namespace muster::test

#include "support/errors.h"

#include <muster/shape.h>

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace muster::test {
namespace {

constexpr std::int64_t two_to_62 = std::int64_t{1} << 62;

TEST(Shape, HoldsItsExtents) {
  const Shape shape{8, 64128};
  EXPECT_EQ(shape.dimensions(), 2);
  EXPECT_EQ(shape[1], 64128);
  EXPECT_EQ(shape.elements(), 8 * 64128);
  EXPECT_EQ(shape.to_string(), "[8, 64128]");
  EXPECT_EQ(Shape(std::vector<std::int64_t>{8, 64128}), shape);
}

TEST(Shape, DiffersFromAShapeWithAnotherNumberOfDimensions) {
  EXPECT_NE((Shape{2, 0}), (Shape{2}));
  EXPECT_EQ(Shape(), Shape(std::vector<std::int64_t>{}));
}

TEST(Shape, OfAScalarHasOneElementAndNoDimension) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape().to_string(), "[]");
  const Error error = thrown_by([] { Shape().normalized(0); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), HasSubstr("scalar"));
}

TEST(Shape, MayHaveEightDimensionsAndNoMore) {
  EXPECT_EQ((Shape{1, 1, 1, 1, 1, 1, 1, 2}).elements(), 2);
  const Error error = thrown_by([] { Shape{1, 1, 1, 1, 1, 1, 1, 1, 2}; });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("9 dimensions"), HasSubstr("8")));
}

TEST(Shape, RefusesANegativeExtentAndNamesIt) {
  const Error error = thrown_by([] { Shape{4, -3}; });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("[4, -3]"), HasSubstr("extent -3")));
}

TEST(Shape, CountsNegativeDimensionsFromTheEnd) {
  const Shape shape{2, 3, 4};
  for (int d = 0; d < 3; ++d) {
    EXPECT_EQ(shape.normalized(d), d);
    EXPECT_EQ(shape.normalized(d - 3), d);
  }
}

TEST(Shape, RefusesADimensionOutsideIt) {
  for (const int dimension : {2, 3, -3, std::numeric_limits<int>::min()}) {
    const Error error = thrown_by([&] { Shape({8, 16}).normalized(dimension); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("is outside [-2, 2) of shape [8, 16]"));
  }
}

TEST(Shape, WithReplacesOneExtent) {
  EXPECT_EQ((Shape{2, 3}).with(-1, 0), (Shape{2, 0}));
  EXPECT_EQ((Shape{2, 3}).with(0, 7), (Shape{7, 3}));
  EXPECT_EQ(thrown_by([] { Shape({2, 3}).with(0, -1); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_by([] { Shape({2, 3}).with(2, 1); }).code(), ErrorCode::invalid_argument);
}

TEST(Shape, RefusesToCountMoreThan63BitsOfElements) {
  EXPECT_EQ(Shape{two_to_62}.elements(), two_to_62);
  const Error error = thrown_by([] { Shape({two_to_62, 2}).elements(); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
}

TEST(Shape, WithAZeroAnywhereHasNoElementsHoweverLargeTheRest) {
  EXPECT_EQ((Shape{two_to_62, two_to_62, 0}).elements(), 0);
  EXPECT_EQ((Shape{0, two_to_62, two_to_62}).elements(), 0);
}

}  // namespace
}  // namespace muster::test

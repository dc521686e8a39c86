#include "support/array.h"
#include "support/errors.h"

#include <muster/plan.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

namespace muster::test {
namespace {

constexpr std::int64_t huge = std::int64_t{1} << 62;

GatherPlan plan_of(std::vector<Shape> shards, DataType dtype, int gather_dim) {
  return GatherPlan(shards, dtype, gather_dim);
}

ErrorCode code_of(const std::vector<Shape>& shards, DataType dtype, int gather_dim) {
  return thrown_by([&] { GatherPlan(shards, dtype, gather_dim); }).code();
}

TEST(RowsOf, AShapeAreTheExtentsBeforeAndFromTheDimension) {
  const Shape shape{3, 5, 7};
  EXPECT_EQ(rows_of(shape, DataType::float32, 0), (Rows{1, 420}));
  EXPECT_EQ(rows_of(shape, DataType::float32, 1), (Rows{3, 140}));
  EXPECT_EQ(rows_of(shape, DataType::float32, 2), (Rows{15, 28}));
  EXPECT_EQ(rows_of(shape, DataType::float32, -1), (Rows{15, 28}));
}

TEST(RowsOf, RefusesAScalarAnUnknownDtypeAndADimensionOutside) {
  for (const auto& call : std::vector<std::function<void()>>{
           [] { rows_of(Shape(), DataType::int8, 0); },
           [] { rows_of(Shape{1}, static_cast<DataType>(0), 0); },
           [] { rows_of(Shape{1}, static_cast<DataType>(99), 0); },
           [] { rows_of(Shape{1}, DataType::int8, 1); },
           [] { rows_of(Shape{1}, DataType::int8, -2); },
       }) {
    EXPECT_EQ(thrown_by(call).code(), ErrorCode::invalid_argument);
  }
}

TEST(RowsOf, SubByteElementsCountsThemTwoAByte) {
  EXPECT_EQ(rows_of(Shape{3, 6}, DataType::int4, 1), (Rows{3, 3}));
  EXPECT_EQ(rows_of(Shape{3, 5, 2}, DataType::float4_e2m1, 1), (Rows{3, 5}));
}

TEST(RowsOf, SubByteElementsRefusesRowsThatAreNotWholeBytes) {
  const Error error = thrown_by([] { rows_of(Shape{4, 5}, DataType::uint4, 1); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("[4, 5] uint4"), HasSubstr("rows of 5 elements")));
  EXPECT_EQ(rows_of(Shape{4, 5}, DataType::uint4, 0), (Rows{1, 10}));
}

TEST(RowsOf, RefusesSizesBeyond63Bits) {
  EXPECT_EQ(rows_of(Shape{huge}, DataType::int8, 0).bytes(), std::size_t{1} << 62);
  for (const Shape& shape : {Shape{huge, 2}, Shape{2, huge}, Shape{1, huge / 4, 1}}) {
    EXPECT_EQ(thrown_by([&] { rows_of(shape, DataType::complex128, 1); }).code(),
              ErrorCode::invalid_argument);
  }
}

TEST(RowsOf, AnEmptyTensorHasNoBytes) {
  EXPECT_EQ(rows_of(Shape{0, 4}, DataType::int8, 1), (Rows{0, 4}));
  EXPECT_EQ(rows_of(Shape{4, 0}, DataType::int8, 1), (Rows{4, 0}));
  EXPECT_EQ(rows_of(Shape{4, huge, 0}, DataType::int64, 1), (Rows{4, 0}));
}

TEST(GatherPlan, PlacesEachSectionBehindTheOnesBeforeIt) {
  const GatherPlan plan = plan_of({{2, 3}, {2, 0}, {2, 5}}, DataType::int16, -1);
  EXPECT_EQ(plan.members(), 3);
  EXPECT_EQ(plan.gather_dim(), 1);
  EXPECT_EQ(plan.output_shape(), (Shape{2, 8}));
  EXPECT_EQ(plan.outer(), 2U);
  EXPECT_EQ(plan.output_row_bytes(), 16U);
  EXPECT_EQ(plan.output_bytes(), 32U);
  EXPECT_EQ(plan.row_offset(0), 0U);
  EXPECT_EQ(plan.row_offset(1), 6U);
  EXPECT_EQ(plan.row_offset(2), 6U);
  EXPECT_EQ(plan.row_bytes(1), 0U);
  EXPECT_EQ(plan.row_bytes(2), 10U);
}

TEST(GatherPlan, NamesTheFirstMemberWhoseShapeDiffersElsewhere) {
  const std::vector<Shape> shards{{8, 2}, {8, 3}, {9, 2}, {7, 2}};
  const Error error = thrown_by([&] { GatherPlan(shards, DataType::int8, 1); });
  EXPECT_EQ(error.code(), ErrorCode::mismatch);
  EXPECT_EQ(error.peer(), 2);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("member 2"), HasSubstr("[9, 2]"), HasSubstr("[8, 2]")));
}

TEST(GatherPlan, RefusesMembersWithAnotherNumberOfDimensions) {
  EXPECT_EQ(code_of({{8, 2}, {8}}, DataType::int8, -1), ErrorCode::mismatch);
  EXPECT_EQ(code_of({{8}, {8, 1}}, DataType::int8, 0), ErrorCode::mismatch);
}

TEST(GatherPlan, RefusesAnEmptyListAndAScalar) {
  EXPECT_EQ(code_of({}, DataType::int8, 0), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of({Shape()}, DataType::int8, 0), ErrorCode::invalid_argument);
}

TEST(GatherPlan, RefusesASumBeyond63Bits) {
  EXPECT_EQ(code_of({{huge}, {huge}}, DataType::int8, 0), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of({{huge / 2}, {huge / 2}}, DataType::int16, 0), ErrorCode::invalid_argument);
  EXPECT_EQ(plan_of({{huge}, {huge - 1}}, DataType::int8, 0).output_bytes(),
            std::numeric_limits<std::int64_t>::max());
}

TEST(GatherPlan, RefusesASubByteSectionThatEndsInsideAByteThoughTheSumDoesNot) {
  EXPECT_EQ(code_of({{4, 3}, {4, 3}}, DataType::int4, 1), ErrorCode::invalid_argument);
  EXPECT_EQ(plan_of({{4, 3}, {4, 3}}, DataType::int4, 0).output_bytes(), 12U);
}

TEST(GatherPlan, OfNoMemberHasNoRows) {
  EXPECT_THROW(plan_of({{1}}, DataType::int8, 0).row_bytes(1), std::out_of_range);
  EXPECT_THROW(plan_of({{1}}, DataType::int8, 0).row_offset(-1), std::out_of_range);
}

// Shards of some gather, with extents of 0 to 4 in each dimension.
struct Sections {
  DataType dtype;
  std::size_t axis;
  std::vector<std::vector<std::int64_t>> shapes;

  std::vector<Shape> to_shapes() const {
    std::vector<Shape> result;
    for (const auto& shape : shapes) result.emplace_back(shape);
    return result;
  }
};

rc::Gen<Sections> any_sections() {
  return rc::gen::exec([] {
    Sections sections;
    sections.dtype = *rc::gen::elementOf(all_dtypes());
    auto shape = *rc::gen::container<std::vector<std::int64_t>>(
        *rc::gen::inRange<std::size_t>(1, Shape::max_dimensions + 1),
        rc::gen::weightedElement<std::int64_t>({{1, 0}, {8, 1}, {8, 2}, {4, 3}, {1, 4}}));
    sections.axis = *rc::gen::inRange<std::size_t>(0, shape.size());
    // An even innermost extent makes rows of 4-bit elements whole bytes.
    const std::int64_t unit = sections.axis + 1 == shape.size() ? 2 : 1;
    if (unit == 1) shape.back() *= 2;
    const auto extents = *rc::gen::container<std::vector<std::int64_t>>(
        *rc::gen::inRange<std::size_t>(1, 7), rc::gen::inRange<std::int64_t>(0, 5));
    for (const std::int64_t extent : extents) {
      shape[sections.axis] = extent * unit;
      sections.shapes.push_back(shape);
    }
    return sections;
  });
}

void showValue(const Sections& sections, std::ostream& stream) {
  stream << to_string(sections.dtype) << " along " << sections.axis << ":";
  for (const Shape& shape : sections.to_shapes()) stream << ' ' << shape.to_string();
}

RC_GTEST_PROP(GatherPlan, MovesRowsToWhereConcatenationPutsTheElements, ()) {
  const Sections sections = *any_sections();
  const int dim = static_cast<int>(sections.axis);
  const GatherPlan plan(sections.to_shapes(), sections.dtype, dim);

  std::vector<Array> shards;
  std::vector<std::byte> output(plan.output_bytes());
  for (int i = 0; i < plan.members(); ++i) {
    const auto& shape = sections.shapes[static_cast<std::size_t>(i)];
    shards.push_back(random_array(sections.dtype, shape, static_cast<std::uint64_t>(i)));
    for (std::size_t row = 0; row < plan.outer(); ++row) {
      std::copy_n(shards.back().bytes.data() + row * plan.row_bytes(i),
                  plan.row_bytes(i),
                  output.data() + row * plan.output_row_bytes() + plan.row_offset(i));
    }
  }

  const Array expected = concatenate(shards, sections.axis);
  RC_ASSERT(Shape(expected.shape) == plan.output_shape());
  RC_ASSERT(expected.bytes == output);
}

RC_GTEST_PROP(GatherPlan, IsTheSameWhicheverWayTheDimensionIsCounted, ()) {
  const Sections sections = *any_sections();
  const int dim = static_cast<int>(sections.axis);
  const int dimensions = static_cast<int>(sections.shapes.front().size());
  const GatherPlan forwards(sections.to_shapes(), sections.dtype, dim);
  const GatherPlan backwards(sections.to_shapes(), sections.dtype, dim - dimensions);
  RC_ASSERT(forwards.gather_dim() == backwards.gather_dim());
  RC_ASSERT(forwards.output_row_bytes() == backwards.output_row_bytes());
  RC_ASSERT(forwards.outer() == backwards.outer());
}

RC_GTEST_PROP(GatherPlan, NeverOverflowsButRefuses, (std::vector<std::uint64_t> numbers)) {
  std::vector<std::int64_t> extents;
  for (const std::uint64_t number : numbers) {
    if (extents.size() == Shape::max_dimensions) break;
    extents.push_back(static_cast<std::int64_t>(number >> (1 + number % 63)));
  }
  RC_PRE(!extents.empty());
  const Shape shape(extents);
  const int dim = static_cast<int>(numbers.front() % extents.size());
  try {
    const Rows rows = rows_of(shape, DataType::float64, dim);
    long double exact = 8;
    for (const std::int64_t extent : extents) exact *= static_cast<long double>(extent);
    RC_ASSERT(static_cast<long double>(rows.bytes()) == exact);
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace muster::test

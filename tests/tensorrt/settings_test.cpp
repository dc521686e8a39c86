// The fields of a layer, and the shapes that follow from them.
#include "settings.h"

#include "support/errors.h"

#include <gtest/gtest.h>

#include <limits>

namespace muster::tensorrt {
namespace {

using test::HasSubstr;
using test::thrown_by;

Field int32s(const char* name, const std::vector<std::int32_t>& values) {
  return {name, values.data(), Field::int32, static_cast<std::int32_t>(values.size())};
}

Field int64s(const char* name, const std::vector<std::int64_t>& values) {
  return {name, values.data(), Field::int64, static_cast<std::int32_t>(values.size())};
}

const std::vector<std::int32_t> ranks{2, 0, 1};

std::string refusal(std::vector<Field> fields, bool with_group = true) {
  if (with_group) fields.push_back(int32s("group", ranks));
  const Error error = thrown_by([&] { parse_settings("layer", fields); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  return error.what();
}

TEST(TensorRTSettings, AreTheFields) {
  const std::vector<std::int32_t> dim{-1}, half{1}, yes{1};
  const std::vector<std::int64_t> sizes{3, 0, 5}, timeout{1500};
  const Settings settings = parse_settings("logits",
                                           std::vector{int32s("group", ranks),
                                                       int32s("gather_dim", dim),
                                                       int64s("sizes", sizes),
                                                       int32s("type_id", half),
                                                       int64s("timeout_ms", timeout),
                                                       int32s("share_communicator", yes)});
  EXPECT_EQ(settings.name, "logits");
  EXPECT_EQ(settings.group, (Group{2, 0, 1}));
  EXPECT_EQ(settings.gather_dim, -1);
  EXPECT_EQ(settings.sizes, sizes);
  EXPECT_EQ(settings.type_id, 1);
  EXPECT_EQ(settings.timeout.count(), 1500);
  EXPECT_TRUE(settings.share_communicator);
}

TEST(TensorRTSettings, NeedOnlyTheGroup) {
  const Settings settings = parse_settings("layer", std::vector{int32s("group", ranks)});
  EXPECT_EQ(settings.gather_dim, 0);
  EXPECT_TRUE(settings.sizes.empty());
  EXPECT_EQ(settings.type_id, std::nullopt);
  EXPECT_EQ(settings.timeout, World::default_timeout);
  EXPECT_FALSE(settings.share_communicator);
  EXPECT_THAT(refusal({}, false), HasSubstr("'group' is missing"));
}

TEST(TensorRTSettings, SayWhichFieldIsWrongAndWhy) {
  const std::vector<std::int32_t> none, two{1, 2}, nine{9}, negative{-1}, twice{1, 1}, six{6},
      foreign{99}, minus{-2, 3, 4};
  EXPECT_THAT(refusal({int32s("group", none)}, false), HasSubstr("'group' is empty"));
  EXPECT_THAT(refusal({int32s("group", twice)}, false), HasSubstr("[1,1]"));
  EXPECT_THAT(refusal({int32s("group", negative)}, false), HasSubstr("-1"));
  EXPECT_THAT(refusal({{"group", "0,1", Field::text, 3}}, false),
              HasSubstr("must be of type int32"));
  EXPECT_THAT(refusal({int32s("gather_dim", two)}), HasSubstr("must be one integer, it has 2"));
  EXPECT_THAT(refusal({int32s("gather_dim", nine)}), HasSubstr("'gather_dim' is 9"));
  EXPECT_THAT(refusal({int32s("sizes", two)}),
              HasSubstr("2 sections, group [2,0,1] has 3 members"));
  EXPECT_THAT(refusal({int32s("sizes", minus)}), HasSubstr("a section of -2"));
  EXPECT_THAT(refusal({int32s("type_id", foreign)}), HasSubstr("'type_id' is 99"));
  EXPECT_THAT(refusal({int32s("timeout_ms", negative)}), HasSubstr("'timeout_ms' is -1"));
  EXPECT_THAT(refusal({int32s("share_communicator", six)}), HasSubstr("it is 0 or 1"));
  EXPECT_THAT(refusal({int32s("gather_dims", six)}), HasSubstr("no field 'gather_dims'"));
}

TEST(TensorRTSettings, CountADimensionFromEitherEnd) {
  Settings settings;
  settings.gather_dim = -1;
  EXPECT_EQ(gather_dimension(settings, 3), 2);
  settings.gather_dim = 1;
  EXPECT_EQ(gather_dimension(settings, 3), 1);
  for (const int dimensions : {0, 1, 9}) {
    EXPECT_EQ(thrown_by([&] { gather_dimension(settings, dimensions); }).code(),
              ErrorCode::invalid_argument);
  }
}

TEST(TensorRTSettings, MultiplyTheGatheredExtentOrTakeTheSizes) {
  Settings settings;
  settings.group = Group{1, 0, 2};
  settings.gather_dim = -1;
  EXPECT_EQ(gathered_shape(settings, {4, 5}, 0), (Shape{4, 15}));
  settings.sizes = {5, 0, 7};
  EXPECT_EQ(gathered_shape(settings, {4, 5}, 0), (Shape{4, 12}));
  EXPECT_EQ(gathered_shape(settings, {4, 0}, 1), (Shape{4, 12}));
  const Error error = thrown_by([&] { gathered_shape(settings, {4, 5}, 2); });
  EXPECT_EQ(error.code(), ErrorCode::mismatch);
  EXPECT_THAT(error.what(), HasSubstr("rank 2 has a section of shape [4, 5]"));
  EXPECT_THAT(error.what(), HasSubstr("extent 7 in dimension 1"));
}

TEST(TensorRTSettings, RefuseAnExtentThatDoesNotFit) {
  Settings settings;
  settings.group = Group{0, 1};
  EXPECT_EQ(thrown_by([&] {
              gathered_extent(settings, std::numeric_limits<std::int64_t>::max());
            }).code(),
            ErrorCode::invalid_argument);
}

TEST(TensorRTTypes, AreTheNumbersOfTheInterface) {
  EXPECT_EQ(to_dtype(1), DataType::float16);
  EXPECT_EQ(to_dtype(7), DataType::bfloat16);
  EXPECT_EQ(to_dtype(9), DataType::int4);
  EXPECT_EQ(thrown_by([] { to_dtype(12); }).code(), ErrorCode::unsupported);
  for (TypeId type = 0; type <= 10; ++type) EXPECT_EQ(type_id_of(to_dtype(type)), type);
  const Error error = thrown_by([] { type_id_of(DataType::complex64); });
  EXPECT_THAT(error.what(), HasSubstr("TensorRT has no type complex64"));
}

}  // namespace
}  // namespace muster::tensorrt

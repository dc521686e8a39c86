// Settings as bytes in engines.
#include "serialization.h"

#include "support/errors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace muster::tensorrt {
namespace {

using test::HasSubstr;
using test::thrown_by;

Settings example() {
  Settings settings;
  settings.name = "logits";
  settings.group = Group{2, 0};
  settings.gather_dim = -1;
  settings.sizes = {3, 5};
  settings.type_id = 1;
  settings.timeout = std::chrono::milliseconds(1500);
  settings.share_communicator = true;
  return settings;
}

std::vector<std::byte> words(const std::vector<std::int32_t>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(std::int32_t));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Engines that hold these bytes exist: they must stay readable.
std::vector<std::byte> version(std::int32_t number, const std::string& end) {
  auto bytes = words({0x5254534d, number, 0, -1, 1, 1500, 0, 2, 2, 0, 2, 3, 0, 5, 0, 6});
  for (const char letter : "logits" + end) bytes.push_back(static_cast<std::byte>(letter));
  const auto length = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(bytes.data() + 8, &length, sizeof(length));
  return bytes;
}

std::vector<std::byte> version_1() {
  return version(1, "");
}

std::vector<std::byte> version_2() {
  return version(2, "\1");
}

TEST(TensorRTSerialization, BringsBackWhatWasWritten) {
  EXPECT_EQ(deserialize(serialize(example()), "other"), example());
  Settings plain;
  plain.group = Group{0, 1, 2, 3};
  EXPECT_EQ(deserialize(serialize(plain), ""), plain);
}

TEST(TensorRTSerialization, ReadsAndWritesVersion2) {
  EXPECT_EQ(deserialize(version_2(), "other"), example());
  EXPECT_EQ(serialize(example()), version_2());
}

TEST(TensorRTSerialization, ReadsVersion1WhichSharesNoCommunicator) {
  Settings expected = example();
  expected.share_communicator = false;
  EXPECT_EQ(deserialize(version_1(), "other"), expected);
}

TEST(TensorRTSerialization, ReadsWhatTensorRTLLMHasWritten) {
  const Settings settings = deserialize(words({1, 0, 1, 3}), "allgather");
  EXPECT_EQ(settings.name, "allgather");
  EXPECT_EQ(settings.type_id, 1);
  EXPECT_EQ(settings.group, (Group{0, 1, 3}));
  EXPECT_EQ(settings.gather_dim, 0);
}

TEST(TensorRTSerialization, RefusesANewerVersion) {
  const auto bytes = version(3, "\1");
  EXPECT_THAT(thrown_by([&] { deserialize(bytes, ""); }).what(), HasSubstr("version 3"));
}

TEST(TensorRTSerialization, RefusesAnyOtherLength) {
  const auto bytes = version_2();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(thrown_by([&] { deserialize(std::span(bytes).first(length), ""); }).code(),
              ErrorCode::invalid_argument)
        << length;
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_EQ(thrown_by([&] { deserialize(longer, ""); }).code(), ErrorCode::invalid_argument);
}

TEST(TensorRTSerialization, ReadsGarbageAsSettingsThatHoldOrNotAtAll) {
  std::mt19937 random(7);
  const auto sound = version_2();
  for (int round = 0; round < 20000; ++round) {
    auto bytes = sound;
    for (int change = 0; change < 3; ++change) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    try {
      check(deserialize(bytes, ""));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    }
  }
}

}  // namespace
}  // namespace muster::tensorrt

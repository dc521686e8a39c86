#include "world/hello.h"

#include "support/errors.h"

#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace muster::world {
namespace {

using test::AllOf;
using test::HasSubstr;

Hello hello_of(int rank) {
  return {.rank = rank, .size = 4, .arena_bytes = 1 << 20, .token = "job"};
}

TEST(Hello, IsReadAsItWasWritten) {
  const Hello hello = hello_of(2);
  EXPECT_EQ(parse_hello(format_hello(hello)), hello);
}

RC_GTEST_PROP(Hello, OfAnyValuesIsReadAsItWasWritten, ()) {
  const Hello hello{
      .verdict = static_cast<Verdict>(*rc::gen::inRange(0, 6)),
      .rank = *rc::gen::arbitrary<std::int32_t>(),
      .size = *rc::gen::arbitrary<std::int32_t>(),
      .holder = *rc::gen::arbitrary<std::int32_t>(),
      .arena_bytes = *rc::gen::arbitrary<std::uint64_t>(),
      .token =
          *rc::gen::container<std::string>(*rc::gen::inRange(0, 257), rc::gen::arbitrary<char>()),
  };
  RC_ASSERT(parse_hello(format_hello(hello)) == hello);
}

RC_GTEST_PROP(Hello, WithAnyByteChangedIsAnotherHelloOrNone, ()) {
  const Hello hello = hello_of(2);
  auto bytes = format_hello(hello);
  bytes[*rc::gen::inRange<std::size_t>(0, hello_bytes)] ^=
      static_cast<std::byte>(*rc::gen::inRange(1, 256));
  RC_ASSERT(parse_hello(bytes) != hello);
}

RC_GTEST_PROP(Hello, IsNotFoundInGarbage, (const std::vector<std::uint8_t>& garbage)) {
  RC_ASSERT(!parse_hello(std::as_bytes(std::span(garbage))));
}

TEST(Hello, OfAnyOtherLengthIsNone) {
  const auto bytes = format_hello(hello_of(2));
  for (std::size_t length = 0; length < hello_bytes; ++length)
    EXPECT_FALSE(parse_hello(std::span(bytes).first(length))) << length;
  std::vector<std::byte> longer(bytes.begin(), bytes.end());
  longer.push_back(std::byte{0});
  EXPECT_FALSE(parse_hello(longer));
}

TEST(Hello, OfAnotherVersionSaysVersionRankAndSizeOnly) {
  Hello hello = hello_of(2);
  hello.version = protocol_version + 1;
  hello.verdict = static_cast<Verdict>(1000);  // that version may know more of them
  const auto parsed = parse_hello(format_hello(hello));
  EXPECT_EQ(parsed, (Hello{.version = protocol_version + 1, .rank = 2, .size = 4, .token = {}}));
}

TEST(Judgement, WelcomesHigherRanksOfTheSameJob) {
  EXPECT_EQ(judge(hello_of(1), hello_of(0)), Verdict::welcome);
  EXPECT_EQ(judge(hello_of(3), hello_of(2)), Verdict::welcome);
}

TEST(Judgement, TellsWhatDiffers) {
  const Hello host = hello_of(1);
  const auto verdict = [&](auto change) {
    Hello visitor = hello_of(2);
    change(visitor);
    return judge(visitor, host);
  };
  EXPECT_EQ(verdict([](Hello& h) { h.version = 9; }), Verdict::other_version);
  EXPECT_EQ(verdict([](Hello& h) { h.token = "jo"; }), Verdict::other_token);
  EXPECT_EQ(verdict([](Hello& h) { h.token = std::string("job\0", 4); }), Verdict::other_token);
  EXPECT_EQ(verdict([](Hello& h) { h.size = 5; }), Verdict::other_size);
  EXPECT_EQ(verdict([](Hello& h) { h.rank = 4; }), Verdict::rank_outside);
  EXPECT_EQ(verdict([](Hello& h) { h.rank = -1; }), Verdict::rank_outside);
  EXPECT_EQ(verdict([](Hello& h) { h.rank = 0; }), Verdict::rank_outside);
  EXPECT_EQ(verdict([](Hello& h) { h.rank = 1; }), Verdict::rank_taken);
}

TEST(Judgement, IsExplainedWithRanksAndBothValues) {
  Hello visitor = hello_of(2);
  Hello host = hello_of(1);
  visitor.version = 7;
  EXPECT_THAT(explain(Verdict::other_version, visitor, host),
              AllOf(HasSubstr("rank 2 speaks protocol version 7"), HasSubstr("rank 1 version 1")));
  visitor.token = "a\n";
  EXPECT_THAT(explain(Verdict::other_token, visitor, host),
              AllOf(HasSubstr(R"(rank 2 belongs to job "a\n")"), HasSubstr(R"(to job "job")")));
  visitor.size = 8;
  EXPECT_THAT(explain(Verdict::other_size, visitor, host),
              AllOf(HasSubstr("rank 2 has a world of 8"), HasSubstr("rank 1 a world of 4")));
  host.holder = 1234;
  EXPECT_THAT(explain(Verdict::rank_taken, visitor, host), HasSubstr("taken by process 1234"));
  EXPECT_EQ(code_of(Verdict::other_size), ErrorCode::mismatch);
  EXPECT_EQ(code_of(Verdict::rank_taken), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace muster::world

#include "world/launcher_environment.h"

#include "support/errors.h"

#include <cstdlib>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace muster::world {
namespace {

using test::AllOf;
using test::HasSubstr;

using Variables = std::map<std::string, std::string>;

const Variables complete = {{"MUSTER_RANK", "2"},
                            {"MUSTER_WORLD_SIZE", "4"},
                            {"MUSTER_RENDEZVOUS", "/run/job"},
                            {"MUSTER_TOKEN", "job 7"}};

std::optional<LauncherEnvironment> read(const Variables& variables) {
  for (const auto& [name, value] : complete) ::unsetenv(name.c_str());
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  auto environment = read_launcher_environment();
  for (const auto& [name, value] : complete) ::unsetenv(name.c_str());
  return environment;
}

Variables with(const std::string& name, const std::string& value) {
  Variables variables = complete;
  variables[name] = value;
  return variables;
}

Variables without(const std::string& name) {
  Variables variables = complete;
  variables.erase(name);
  return variables;
}

Error error_of(const Variables& variables) {
  return test::thrown_by([&] { read(variables); });
}

TEST(LauncherEnvironment, IsReadWhole) {
  const auto environment = read(complete);
  ASSERT_TRUE(environment.has_value());
  EXPECT_EQ(environment->rank, 2);
  EXPECT_EQ(environment->size, 4);
  EXPECT_EQ(environment->rendezvous, "/run/job");
  EXPECT_EQ(environment->token, "job 7");
}

TEST(LauncherEnvironment, IsNothingWithoutALauncher) {
  EXPECT_FALSE(read({}).has_value());
  EXPECT_FALSE(read({{"MUSTER_RANK", ""}, {"MUSTER_TOKEN", ""}}).has_value());
}

TEST(LauncherEnvironment, NamesWhatIsMissingAndHowToStart) {
  for (const auto& [name, value] : complete) {
    const Error error = error_of(without(name));
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("but not " + name), HasSubstr("muster run -n N program")));
  }
  const Error error = error_of({{"MUSTER_RANK", "0"}, {"MUSTER_WORLD_SIZE", "1"}});
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("MUSTER_RANK, MUSTER_WORLD_SIZE set"),
                    HasSubstr("but not MUSTER_RENDEZVOUS, MUSTER_TOKEN")));
}

TEST(LauncherEnvironment, RefusesWhatIsNotAWholeNumberInRange) {
  for (const std::string value :
       {"x", "1x", " 1", "1 ", "+1", "-1", "0x1", "1.0", "4", "99999999999999999999"}) {
    const Error error = error_of(with("MUSTER_RANK", value));
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << value;
    EXPECT_THAT(error.what(), HasSubstr("MUSTER_RANK is '" + value + "'"));
    EXPECT_THAT(error.what(), HasSubstr("from 0 to 3"));
  }
  for (const std::string value : {"0", "-4", "129", "four", "4,"}) {
    const Error error = error_of(with("MUSTER_WORLD_SIZE", value));
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << value;
    EXPECT_THAT(error.what(), HasSubstr("MUSTER_WORLD_SIZE is '" + value + "'"));
    EXPECT_THAT(error.what(), HasSubstr("from 1 to 128"));
  }
}

TEST(LauncherEnvironment, AllowsTheLargestWorld) {
  Variables variables = with("MUSTER_WORLD_SIZE", "128");
  variables["MUSTER_RANK"] = "127";
  EXPECT_EQ(read(variables)->rank, 127);
}

TEST(LauncherEnvironment, AllowsTokensOf256BytesAndNoMore) {
  EXPECT_EQ(read(with("MUSTER_TOKEN", std::string(256, 't')))->token.size(), 256U);
  const Error error = error_of(with("MUSTER_TOKEN", std::string(257, 't')));
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("257 bytes"), HasSubstr("at most 256")));
}

}  // namespace
}  // namespace muster::world

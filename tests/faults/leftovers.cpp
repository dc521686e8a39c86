// Whatever happens to ranks, they leave nothing behind: looked at after every test of this program.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>

namespace muster::test {
namespace {

namespace fs = std::filesystem;

// Entries of a directory that belong to this user.
std::set<std::string> own_entries(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(directory, none)) {
    struct stat status {};
    if (::lstat(entry.path().c_str(), &status) == 0 && status.st_uid == ::geteuid()) {
      names.insert(entry.path().filename());
    }
  }
  return names;
}

// Gives the tests a temporary directory of their own, in which nothing may remain; and in /dev/shm
// nothing may remain that was not there.
class Leftovers : public testing::EmptyTestEventListener {
 public:
  void OnTestProgramStart(const testing::UnitTest& /*tests*/) override {
    std::string name = fs::temp_directory_path() / "muster-faults-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category());
    temporary_ = name;
    ::setenv("TMPDIR", name.c_str(), 1);
  }

  void OnTestStart(const testing::TestInfo& /*test*/) override {
    shared_ = own_entries("/dev/shm");
  }

  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    for (const std::string& name : own_entries("/dev/shm")) {
      EXPECT_TRUE(shared_.contains(name)) << "/dev/shm/" << name << " is left";
    }
    for (const std::string& name : own_entries(temporary_)) {
      ADD_FAILURE() << name << " is left in the temporary directory";
    }
  }

  void OnTestProgramEnd(const testing::UnitTest& /*tests*/) override {
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
  }

 private:
  fs::path temporary_;
  std::set<std::string> shared_;
};

[[maybe_unused]] const bool registered = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new Leftovers);  // which owns it
  return true;
}();

}  // namespace
}  // namespace muster::test

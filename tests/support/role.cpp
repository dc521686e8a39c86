#include "support/role.h"

#include "support/process.h"

#include <gtest/gtest.h>

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <map>

namespace muster::test {
namespace {

std::map<std::string, Role>& roles() {
  static std::map<std::string, Role> known;
  return known;
}

// No rank outlives the test that started it, nor hangs without one.
void tie_to_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::alarm(120);
}

int run_role(const std::string& name) {
  try {
    roles().at(name)(read_argument());
    return 0;
  } catch (const std::exception& error) {
    tell(std::string("failed: ") + error.what());
    return 1;
  }
}

}  // namespace

RegisteredRole::RegisteredRole(std::string name, Role role) {
  roles().emplace(std::move(name), std::move(role));
}

void tell(std::string_view line) {
  // One write, so that lines of several threads do not mix.
  const std::string text = std::string(line) + '\n';
  if (::write(report_fd, text.data(), text.size()) < 0) ::_exit(1);
}

int run_role_or_tests(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == role_flag) {
    tie_to_parent(std::atoi(argv[3]));
    return run_role(argv[2]);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace muster::test

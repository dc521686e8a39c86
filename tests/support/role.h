// A test binary is also the program of the ranks that it starts: with a hidden argument it runs a
// role instead of its tests.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace muster::test {

// What a started process does. It ends well by returning; what it throws is its last words.
using Role = std::function<void(const std::string& argument)>;

// At namespace scope, makes a role known by its name.
struct RegisteredRole {
  RegisteredRole(std::string name, Role role);
};

// Tells the process that started this one; a line on its own.
void tell(std::string_view line);

// For main(): runs a role and returns its status, or runs the tests.
int run_role_or_tests(int argc, char** argv);

}  // namespace muster::test

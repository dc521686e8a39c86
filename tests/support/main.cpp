#include "support/role.h"

int main(int argc, char** argv) {
  return muster::test::run_role_or_tests(argc, argv);
}

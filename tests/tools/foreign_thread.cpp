// To be preloaded into a program, but not into those that it starts: a thread that it knows nothing
// of, as profilers and drivers start them, and that any signal may reach.
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace {

[[gnu::constructor]] void start() {
  ::unsetenv("LD_PRELOAD");
  std::thread([] {
    for (;;) ::pause();
  }).detach();
}

}  // namespace

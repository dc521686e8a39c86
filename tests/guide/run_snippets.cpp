// Runs every snippet on four ranks.
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include "snippets.h"

namespace {

void run(const Snippet& snippet, muster::World world) try {
  snippet.run(world);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s:%d: %s\n", snippet.page, snippet.line, error.what());
  std::terminate();  // peers may wait for this rank
}

}  // namespace

int main() {
  for (const Snippet& snippet : snippets()) {
    std::printf("%s:%d\n", snippet.page, snippet.line);
    std::vector<std::jthread> ranks;
    for (muster::World& world : muster::World::threads(4))
      ranks.emplace_back(run, snippet, std::move(world));
  }
}

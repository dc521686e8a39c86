// Runs every snippet on four ranks; those that need a GPU where there is one.
#include <cstdio>
#include <cstdlib>
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

bool have_gpu() try {
  muster::World::threads(1).front().allocate(1, muster::Device::cuda(0));
  return true;
} catch (const muster::Error& error) {
  if (error.code() != muster::ErrorCode::unsupported) throw;
  return false;
}

}  // namespace

int main() {
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
  ::setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  for (const Snippet& snippet : snippets()) {
    const bool runs = !snippet.needs_gpu || have_gpu();
    std::printf("%s:%d%s\n", snippet.page, snippet.line, runs ? "" : " not run: no GPU here");
    if (!runs) continue;
    std::vector<std::jthread> ranks;
    for (muster::World& world : muster::World::threads(4))
      ranks.emplace_back(run, snippet, std::move(world));
  }
}

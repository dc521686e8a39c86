// Ranks as threads, each with the world that its layers gather in.
#pragma once

#include <muster/tensorrt_runtime.h>

#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace muster::test {

// Acts as every rank of a world of threads; throws what all of them that failed have thrown.
inline void as_ranks(int ranks, const std::function<void(World&)>& act) {
  std::vector<std::string> failures(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  std::vector<World> worlds = World::threads(ranks);
  for (std::size_t r = 0; r < worlds.size(); ++r) {
    threads.emplace_back([&, r, world = std::make_shared<World>(std::move(worlds[r]))] {
      try {
        tensorrt::use_world(world);
        act(*world);
      } catch (const std::exception& error) {
        failures[r] = "rank " + std::to_string(r) + ": " + error.what() + "\n";
      }
      tensorrt::use_world(nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::string all;
  for (const std::string& failure : failures) all += failure;
  if (!all.empty()) throw std::runtime_error(all);
}

}  // namespace muster::test

#include "conformance/transport.h"

#include "support/job.h"
#include "support/role.h"

#include <nlohmann/json.hpp>

#include <cstring>
#include <exception>
#include <map>
#include <span>
#include <thread>
#include <utility>

namespace muster::test {
namespace {

std::map<std::string, Scenario>& scenarios() {
  static std::map<std::string, Scenario> known;
  return known;
}

class HostMemory : public Memory {
 public:
  Block allocate(World& world, Place place, std::size_t bytes) const override {
    if (place == Place::buffer) {
      auto buffer = std::make_shared<Buffer>(world.allocate(bytes));
      return {buffer->data(), buffer};
    }
    auto bytes_of_my_own = std::make_shared<std::vector<std::byte>>(bytes);
    return {bytes_of_my_own->data(), bytes_of_my_own};
  }
  void copy(void* to, const void* from, std::size_t bytes) const override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  CommunicatorOptions options() const override { return {}; }
  void finish(Communicator& communicator) const override { communicator.check(); }
};

class Threads : public Transport {
 public:
  std::string run(int size, const Scenario& scenario, const std::string& argument) const override {
    std::vector<World> worlds = World::threads(size);
    std::vector<std::string> failures(worlds.size());
    std::vector<std::thread> ranks;
    for (std::size_t r = 0; r < worlds.size(); ++r) {
      ranks.emplace_back([&, r, world = std::move(worlds[r])]() mutable {
        try {
          Rank rank{world, HostMemory(), argument};
          scenario.act(rank);
        } catch (const std::exception& error) {
          failures[r] = "rank " + std::to_string(r) + ": " + error.what() + '\n';
        }
      });
    }
    for (std::thread& rank : ranks) rank.join();

    std::string all;
    for (const std::string& failure : failures) all += failure;
    return all;
  }
};

class Processes : public Transport {
 public:
  std::string run(int size, const Scenario& scenario, const std::string& argument) const override {
    const nlohmann::json order{{"scenario", scenario.name}, {"argument", argument}};
    Job job(size, "act scenario", order.dump());
    return job.wait(Clock::now() + std::chrono::seconds(100));
  }
};

const RegisteredRole act_scenario("act scenario", [](const std::string& text) {
  const nlohmann::json order = nlohmann::json::parse(text);
  const std::string argument = order.at("argument");
  World world = World::join();
  const HostMemory memory;
  Rank rank{world, memory, argument};
  scenario_named(order.at("scenario")).act(rank);
});

}  // namespace

CommunicatorOptions Rank::options(std::string tag) const {
  CommunicatorOptions result = memory.options();
  result.tag = std::move(tag);
  return result;
}

void Rank::meet() const {
  world.exchange(Group::range(world.size()), {});
}

const std::vector<Setting>& all_settings() {
  static const Threads threads;
  static const Processes processes;
  static const std::vector<Setting> settings = [] {
    std::vector<Setting> all;
    for (const int size : {1, 2, 3, 4, 8, 64}) all.push_back({&threads, "threads", size});
    for (const int size : {2, 4, 32}) all.push_back({&processes, "processes", size});
    return all;
  }();
  return settings;
}

const Scenario& scenario_named(const std::string& name) {
  return scenarios().at(name);
}

RegisteredScenario::RegisteredScenario(Scenario scenario) {
  std::string name = scenario.name;
  scenarios().emplace(std::move(name), std::move(scenario));
}

}  // namespace muster::test

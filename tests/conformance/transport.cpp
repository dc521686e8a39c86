#include "conformance/transport.h"

#include "support/job.h"
#include "support/role.h"
#include "support/timeouts.h"

#include <nlohmann/json.hpp>

#include <exception>
#include <map>
#include <thread>
#include <utility>

namespace muster::test {
namespace {

std::map<std::string, Scenario>& scenarios() {
  static std::map<std::string, Scenario> known;
  return known;
}

class Threads : public Transport {
 public:
  std::string run(int size, const Scenario& scenario, const std::string& argument) const override {
    std::vector<World> worlds = World::threads(size);
    std::vector<std::string> failures(worlds.size());
    std::vector<std::thread> ranks;
    for (std::size_t r = 0; r < worlds.size(); ++r) {
      ranks.emplace_back([&, r, world = std::move(worlds[r])]() mutable {
        try {
          Rank rank{world, memory_of_the_suite(), argument};
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
    return job.wait(Clock::now() + scaled(std::chrono::seconds(100)));
  }
};

const RegisteredRole act_scenario("act scenario", [](const std::string& text) {
  const nlohmann::json order = nlohmann::json::parse(text);
  const std::string argument = order.at("argument");
  World world = World::join();
  Rank rank{world, memory_of_the_suite(), argument};
  scenario_named(order.at("scenario")).act(rank);
});

}  // namespace

CommunicatorOptions Rank::options(std::string tag) const {
  CommunicatorOptions result = memory.options(world);
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
    const Sizes sizes = sizes_of_the_suite();
    for (const int size : sizes.as_threads) all.push_back({&threads, "threads", size});
    for (const int size : sizes.as_processes) all.push_back({&processes, "processes", size});
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

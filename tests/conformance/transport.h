// What the conformance suite needs of a transport. The suite is written once against this and runs
// for every transport and every size of world in all_settings().
#pragma once

#include <muster/muster.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace muster::test {

// Where a tensor lies: in a Buffer, or in memory that only its rank can reach.
enum class Place { buffer, ordinary };

// Memory that frees itself.
struct Block {
  std::byte* data = nullptr;
  std::shared_ptr<void> owner;
};

// The memory in which a transport's tensors live.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual Block allocate(World& world, Place place, std::size_t bytes) const = 0;
  // Between this memory and the host's, either way.
  virtual void copy(void* to, const void* from, std::size_t bytes) const = 0;
  virtual CommunicatorOptions options(const World& world) const = 0;
  // Where this thread's gathers go.
  virtual Stream stream() const { return {}; }
  // How many threads of each of so many ranks may gather at once, up to `wanted`.
  virtual int threads_at_once(int ranks, int wanted) const {
    static_cast<void>(ranks);
    return wanted;
  }
  // How many communicators a test may make, up to `wanted`.
  virtual int communicators(int wanted) const { return wanted; }
  // Waits until the gathers made so far have ended; throws what went wrong on the device.
  virtual void finish(Communicator& communicator) const = 0;
};

// What a scenario sees of the rank that it acts as.
struct Rank {
  World& world;
  const Memory& memory;
  const std::string& argument;

  CommunicatorOptions options(std::string tag) const;  // the memory's, with this tag
  void meet() const;                                   // waits for all ranks of the world
};

// What every rank of a world does. It throws when something is wrong.
struct Scenario {
  std::string name;
  std::function<void(Rank&)> act;
};

// A way to run ranks.
class Transport {
 public:
  virtual ~Transport() = default;
  // Acts as every rank of a new world; what went wrong, with the ranks, or "".
  virtual std::string run(int size,
                          const Scenario& scenario,
                          const std::string& argument) const = 0;
};

// A transport with a size of world.
struct Setting {
  const Transport* transport;
  std::string name;
  int size;

  friend void PrintTo(const Setting& setting, std::ostream* stream) {
    *stream << setting.size << " ranks as " << setting.name;
  }
};
const std::vector<Setting>& all_settings();

// What differs from binary to binary: host_settings.cpp, cuda_settings.cpp.
const Memory& memory_of_the_suite();
struct Sizes {
  std::vector<int> as_threads;
  std::vector<int> as_processes;
};
Sizes sizes_of_the_suite();

// Scenarios are known by name, so that another process can act one too.
const Scenario& scenario_named(const std::string& name);
struct RegisteredScenario {
  explicit RegisteredScenario(Scenario scenario);
};

}  // namespace muster::test

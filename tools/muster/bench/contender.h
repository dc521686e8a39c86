// One way to gather, as the benchmark sees it.
#pragma once

#include "bench/gather_case.h"
#include "bench/mapping.h"
#include "bench/team.h"

#include <muster/world.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace muster::tool {

struct Contender {
  std::string impl;       // "muster", "memcpy", "mpi", …
  std::string transport;  // how the bytes travel
  std::string placement;  // which side's memory the peers can reach
  std::span<std::byte> source;
  std::span<std::byte> output;
  GatherPlan plan;             // where the output holds what
  std::function<void()> call;  // one gather; owns what it needs
};

// One rank's place in one case, and the ordinary memory that its contenders share: they take turns.
// It outlives them.
class Workspace {
 public:
  Workspace(World& world, Team& team, const GatherCase& gather)
      : world_(&world), team_(&team), gather_(&gather), source_(gather.shard_bytes(rank())) {}

  World& world() const noexcept { return *world_; }
  Team& team() const noexcept { return *team_; }
  const GatherCase& gather() const noexcept { return *gather_; }
  int rank() const noexcept { return world_->rank(); }

  std::span<std::byte> source() const noexcept { return source_.bytes(); }
  std::span<std::byte> output();  // made at first use

 private:
  World* world_;
  Team* team_;
  const GatherCase* gather_;
  Mapping source_, output_;
};

// Makes a rank's side of the contenders for a case. Every rank of the world calls it, together.
using MakeContenders = std::function<std::vector<Contender>(Workspace&)>;

// muster itself. `placement`: "push" has the output where peers can reach it, "pull" the shard,
// "staged" neither.
Contender make_muster(Workspace& workspace, const std::string& placement);

// The limit: each rank writes its rows to all outputs with memcpy, and nobody waits for anybody.
Contender make_memcpy(Workspace& workspace);

}  // namespace muster::tool

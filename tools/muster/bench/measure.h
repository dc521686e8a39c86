// Times contenders side by side.
#pragma once

#include "bench/contender.h"
#include "bench/team.h"

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace muster::tool {

// How long to measure one case.
struct Budget {
  double seconds = 1;
  std::optional<int> rounds = std::nullopt;  // instead of the time
};

// Counts rounds until the budget is used up: the same number on every rank.
class Rounds {
 public:
  Rounds(Team& team, const Budget& budget) : team_(team), budget_(budget) {}
  bool next();  // whether there is one more; every rank calls it

 private:
  Team& team_;
  const Budget budget_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int done_ = 0;
};

// Seconds a call of the slowest rank, over rounds.
struct Timing {
  double median = 0;
  double p99 = 0;
};

Timing summarize(std::vector<double> samples);

// Contenders take turns in many short rounds, each round beginning with another of them, so that
// what disturbs the machine meanwhile disturbs all alike. Every rank calls it with its own side of
// the same contenders.
std::vector<Timing> measure(Team& team, std::span<Contender> contenders, const Budget& budget);

// The same where calls are timed in another way: `time` gives the seconds a call of the slowest
// rank. At least `fewest_calls` a turn.
using TimeCalls = std::function<double(Team&, Contender&, int calls)>;
std::vector<Timing> measure(Team& team,
                            std::span<Contender> contenders,
                            const Budget& budget,
                            int fewest_calls,
                            const TimeCalls& time);

// Gathers fresh random data over poisoned outputs; the number of wrong bytes over all ranks.
std::size_t verify(Team& team, Contender& contender);

}  // namespace muster::tool

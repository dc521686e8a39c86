#include "bench/measure.h"

#include "bench/pattern.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

namespace muster::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double shortest_turn = 1.5e-3;  // seconds; far above the cost and skew of a barrier
constexpr int most_calls = 1 << 16;
constexpr int fewest_rounds = 9;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Seconds a call, of the slowest rank.
double time_calls(Team& team, Contender& contender, int calls) {
  if (calls > 1) contender.call();  // brings its memory back to the caches the others had
  team.barrier();
  const auto start = Clock::now();
  for (int i = 0; i < calls; ++i) contender.call();
  return team.max(seconds_since(start)) / calls;
}

// Calls enough for a turn. This is the warm-up too. What looks long enough is looked at again: who
// is interrupted once must not be measured in turns that are too short.
int calibrate(Team& team, Contender& contender, int fewest_calls, const TimeCalls& time) {
  int calls = fewest_calls;
  const auto is_short = [&] { return time(team, contender, calls) * calls < shortest_turn; };
  is_short();
  // NOLINTNEXTLINE(misc-redundant-expression): each measures anew
  while (calls < most_calls && (is_short() || is_short() || is_short())) calls *= 2;
  return calls;
}

double quantile(const std::vector<double>& sorted, double q) {
  const double last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(std::ceil(q * last))];
}

}  // namespace

bool Rounds::next() {
  const int done = done_++;
  if (budget_.rounds) return done < *budget_.rounds;
  const bool mine = done < fewest_rounds || seconds_since(start_) < budget_.seconds;
  return team_.from_first(mine) != 0;  // the ranks' clocks differ
}

Timing summarize(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {.median = quantile(samples, 0.5), .p99 = quantile(samples, 0.99)};
}

std::vector<Timing> measure(Team& team, std::span<Contender> contenders, const Budget& budget) {
  return measure(team, contenders, budget, 1, time_calls);
}

std::vector<Timing> measure(Team& team,
                            std::span<Contender> contenders,
                            const Budget& budget,
                            int fewest_calls,
                            const TimeCalls& time) {
  const std::size_t count = contenders.size();
  std::vector<int> calls;
  for (Contender& contender : contenders) {
    calls.push_back(calibrate(team, contender, fewest_calls, time));
  }

  std::vector<std::vector<double>> samples(count);
  Rounds rounds(team, budget);
  for (std::size_t first = 0; rounds.next(); ++first) {
    for (std::size_t turn = 0; turn < count; ++turn) {
      const std::size_t i = (first + turn) % count;
      samples[i].push_back(time(team, contenders[i], calls[i]));
    }
  }
  std::vector<Timing> timings;
  for (auto& s : samples) timings.push_back(summarize(std::move(s)));
  return timings;
}

std::size_t verify(Team& team, Contender& contender) {
  const double random = std::random_device()();  // 32 bits, which a double holds
  const auto seed = static_cast<std::uint64_t>(team.from_first(random));
  fill(contender.source, seed, team.rank());
  poison(contender.output, contender.plan, seed);
  team.barrier();  // nobody poisons what a peer has written
  contender.call();
  team.barrier();  // contenders that do not wait have written all by now
  const std::size_t wrong = count_wrong(contender.output, contender.plan, seed);
  return static_cast<std::size_t>(team.sum(static_cast<double>(wrong)));
}

}  // namespace muster::tool

// Consensus by compare-and-swap: every caller proposes the members that it has seen alive, the
// first to swap its name into the group's cell decides, and all adopt its proposal. The cell lies
// in an arena, which stays mapped when its rank dies, so no death can undo a decision.
#include "world/survivors.h"

#include "muster/error.h"
#include "world/board.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace muster::world {

namespace {

constexpr auto slice = std::chrono::milliseconds(10);

struct Decision {
  std::uint32_t round;
  int by;  // world rank
};

class Survivors {
 public:
  Survivors(State& state, const Group& group, Deadline deadline)
      : state_(state),
        group_(group),
        subject_{Topic::survivors, group, ""},
        deadline_(deadline),
        cell_(claim_cell()),
        round_(state.survivors_round(subject_) + 1) {}

  Group agree() {
    {
      const PinnedPost here(state_.board(), round_subject(), {});
      while (!decided() && !everybody_answered() && Clock::now() < deadline_) wait();
      if (!decided()) decide();
    }
    const Decision decision = *decided();
    state_.set_survivors_round(subject_, decision.round);
    return adopt(decision);
  }

 private:
  // The cell of this group in the arena of its first rank.
  SurvivorsCell& claim_cell() {
    auto& cells = state_.control_of(group_[0]).survivors;
    const std::uint64_t key = subject_.key();
    for (SurvivorsCell& cell : cells) {
      std::uint64_t found = 0;
      if (cell.key.compare_exchange_strong(found, key) || found == key) return cell;
    }
    throw Error(ErrorCode::out_of_memory,
                fmt::format("World::survivors: rank {} has been first in more than {} groups that "
                            "asked for survivors",
                            group_[0],
                            cells.size()));
  }

  Subject round_subject() const { return {Topic::survivors, group_, std::to_string(round_)}; }

  std::optional<Decision> decided() const {
    const std::uint64_t word = cell_.decided.load(std::memory_order_seq_cst);
    const Decision decision{static_cast<std::uint32_t>(word >> 32),
                            static_cast<int>(word & 0xffffffffU) - 1};
    if (decision.round < round_) return std::nullopt;
    return decision;
  }

  bool answered(int i) const {
    return group_[i] == state_.rank() ||
           state_.board_of(group_[i]).find(round_subject()).has_value();
  }

  bool everybody_answered() const {
    for (int i = 0; i < group_.size(); ++i) {
      if (!answered(i) && !state_.liveness().lost(group_[i])) return false;
    }
    return true;
  }

  void wait() {
    for (int i = 0; i < group_.size(); ++i) {
      BoardReader board = state_.board_of(group_[i]);
      const std::uint32_t generation = board.generation();
      if (answered(i) || state_.liveness().lost(group_[i])) continue;
      if (!decided()) board.sleep(generation, std::min(deadline_, Clock::now() + slice));
      break;
    }
    state_.liveness().probe();
  }

  void decide() {
    auto& proposal = cell_.proposals[static_cast<std::size_t>(state_.rank())];
    proposal.round.store(0);  // an adopter of an earlier round must not take half of this one
    for (auto& word : proposal.alive) word.store(0);
    for (int i = 0; i < group_.size(); ++i) {
      if (!answered(i) || state_.liveness().lost(group_[i])) continue;
      proposal.alive[static_cast<std::size_t>(i) / 64].fetch_or(std::uint64_t{1} << (i % 64));
    }
    proposal.round.store(round_);
    std::uint64_t previous = cell_.decided.load();
    const std::uint64_t mine =
        std::uint64_t{round_} << 32 | (static_cast<std::uint32_t>(state_.rank()) + 1);
    while (previous >> 32 < round_ && !cell_.decided.compare_exchange_weak(previous, mine)) {
    }
  }

  Group adopt(const Decision& decision) const {
    std::vector<int> alive;
    if (decision.by >= 0 && decision.by < state_.size()) {
      const auto& proposal = cell_.proposals[static_cast<std::size_t>(decision.by)];
      for (int i = 0; i < group_.size(); ++i) {
        const auto word = proposal.alive[static_cast<std::size_t>(i) / 64].load();
        if ((word >> (i % 64) & 1U) != 0) alive.push_back(group_[i]);
      }
      // A later round has overwritten the proposal: this rank was not waited for.
      if (proposal.round.load() != decision.round) alive.clear();
    }
    if (std::find(alive.begin(), alive.end(), state_.rank()) == alive.end()) {
      throw Error(
          ErrorCode::timeout,
          fmt::format("World::survivors: the others of group {} have gone on without rank {}",
                      group_.to_string(),
                      state_.rank()),
          state_.rank());
    }
    return Group(std::move(alive));
  }

  State& state_;
  const Group& group_;
  const Subject subject_;
  const Deadline deadline_;
  SurvivorsCell& cell_;
  const std::uint32_t round_;
};

// A killed process takes its memory down (0.4 s for 8 GiB) before it lets go of its devices.
constexpr auto longest_ending = std::chrono::seconds(2);

// Waits until the devices of the dead write no more, so that the living may use their memory.
void await_the_ends_of_the_dead(State& state, const Group& group) {
  const auto patience = Clock::now() + longest_ending;
  const auto is_ending = [&](int rank) {
    return state.liveness().fate(rank) == Fate::died && !state.liveness().gone(rank);
  };
  while (std::any_of(group.ranks().begin(), group.ranks().end(), is_ending) &&
         Clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

Group survivors(State& state, const Group& group, Deadline deadline) {
  const Claim turn(state, {Topic::survivors, group, "turn"}, deadline);
  if (!turn.owns()) {
    throw Error(ErrorCode::timeout,
                "World::survivors: another thread of this rank is still in it",
                state.rank());
  }
  Group alive = Survivors(state, group, deadline).agree();
  if (state.uses_devices()) await_the_ends_of_the_dead(state, group);
  return alive;
}

}  // namespace muster::world

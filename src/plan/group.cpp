#include <muster/group.h>

#include "plan/refuse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace muster {
namespace {

std::string list(std::span<const int> ranks) {
  return fmt::format("[{}]", fmt::join(ranks, ","));
}

}  // namespace

Group::Group(std::initializer_list<int> ranks) : Group(std::vector<int>(ranks)) {}

Group::Group(std::vector<int> ranks) : ranks_(std::move(ranks)) {
  if (ranks_.empty()) refuse("a group needs at least one rank");

  std::vector<int> sorted = ranks_;
  std::ranges::sort(sorted);
  if (sorted.front() < 0) {
    refuse(fmt::format("group {} has the negative rank {}", list(ranks_), sorted.front()));
  }
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end()) {
    refuse(fmt::format("group {} has rank {} more than once", list(ranks_), *twice));
  }
}

Group Group::range(int size) {
  if (size <= 0) refuse(fmt::format("a group of {} ranks cannot be made", size));
  std::vector<int> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return Group(std::move(ranks));
}

std::optional<int> Group::position(int rank) const noexcept {
  const auto found = std::ranges::find(ranks_, rank);
  if (found == ranks_.end()) return std::nullopt;
  return static_cast<int>(found - ranks_.begin());
}

std::string Group::to_string() const {
  return list(ranks_);
}

}  // namespace muster

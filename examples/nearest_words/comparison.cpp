#include "comparison.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace {

constexpr int rounds = 101;

/// What a gather on dimension 0 needs for the same result: a second matrix, into which it gathers
/// the ranks' blocks one after the other, and a pass over all of it that puts rows in their place.
void gather_and_transpose(muster::Communicator& everyone,
                          const Matrix& shard,
                          const Matrix& blocks,
                          const Matrix& full,
                          const muster::GatherPlan& plan) {
  everyone.all_gather(shard.flat(), blocks.flat(), 0);
  const auto* from = reinterpret_cast<const std::byte*>(blocks.data());
  for (int member = 0; member < plan.members(); ++member) {
    auto* to = reinterpret_cast<std::byte*>(full.data()) + plan.row_offset(member);
    for (std::size_t row = 0; row < plan.outer(); ++row) {
      std::memcpy(to, from, plan.row_bytes(member));
      from += plan.row_bytes(member);
      to += plan.output_row_bytes();
    }
  }
}

template <class Gather>
double milliseconds(muster::Communicator& everyone, Gather gather) {
  // A gather of nothing still waits for everyone, so all ranks begin together.
  everyone.all_gather_in_place({nullptr, muster::DataType::uint8, {0}}, 0);
  const auto begin = std::chrono::steady_clock::now();
  gather();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

double median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  return *middle;
}

}  // namespace

Times compare(muster::World& world,
              muster::Communicator& everyone,
              const Matrix& shard,
              const Matrix& full,
              const muster::GatherPlan& plan) {
  const Matrix blocks(world, full.rows(), full.columns());
  std::vector<double> in_place;
  std::vector<double> transposed;
  for (int round = 0; round < rounds; ++round) {
    transposed.push_back(
        milliseconds(everyone, [&] { gather_and_transpose(everyone, shard, blocks, full, plan); }));
    in_place.push_back(
        milliseconds(everyone, [&] { everyone.all_gather(shard.view(), full.view(), -1); }));
  }
  return {median(in_place), median(transposed)};
}

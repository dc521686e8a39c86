// What ranks send in a benchmark, and the check of what they receive.
#pragma once

#include <muster/plan.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace muster::tool {

// Random bytes that depend on (seed, rank, place in the shard) alone: every rank knows what every
// other sent without asking it.
void fill(std::span<std::byte> shard, std::uint64_t seed, int rank);

// Makes every byte of a gathered tensor differ from what belongs there.
void poison(std::span<std::byte> output, const GatherPlan& plan, std::uint64_t seed);

std::size_t count_wrong(std::span<const std::byte> output,
                        const GatherPlan& plan,
                        std::uint64_t seed);

}  // namespace muster::tool

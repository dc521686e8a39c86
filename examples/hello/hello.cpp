// Three ranks, as threads of this process, gather a matrix that is split over its columns.
#include <muster/muster.h>

#include <cstdio>
#include <thread>
#include <vector>

void rank(muster::World world) {
  muster::Communicator everyone(world, muster::Group::range(world.size()));

  // Rank r holds r + 1 columns of a matrix of 2 rows: 6 columns in all.
  const std::int64_t columns = world.rank() + 1;
  const std::vector<float> shard(2 * columns, static_cast<float>(world.rank()));
  std::vector<float> full(12);

  everyone.all_gather({shard.data(), muster::DataType::float32, {2, columns}},
                      {full.data(), muster::DataType::float32, {2, 6}},
                      -1);

  if (world.rank() != 0) return;
  for (std::size_t i = 0; i < full.size(); ++i)
    std::printf("%g%c", full[i], i % 6 == 5 ? '\n' : ' ');
}

int main() {
  std::vector<std::jthread> ranks;
  for (muster::World& world : muster::World::threads(3)) ranks.emplace_back(rank, std::move(world));
}

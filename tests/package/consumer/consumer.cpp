#include <muster/muster.h>

#include <vector>

int main() {
  muster::World world = muster::World::join();  // without a launcher: this process alone
  muster::Communicator alone(world, muster::Group::range(world.size()));

  const std::vector<int> shard = {1, 2, 3};
  std::vector<int> full(3);
  alone.all_gather(
      {shard.data(), muster::DataType::int32, {3}}, {full.data(), muster::DataType::int32, {3}}, 0);
  return full == shard ? 0 : 1;
}

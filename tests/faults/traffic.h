// Gathers in a row, of random sizes from and into random places, each checked.
#pragma once

#include <muster/muster.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::test {

class Traffic {
 public:
  // All members pass the same seed.
  Traffic(World& world, Communicator& communicator, std::uint64_t seed);

  // One gather. Throws muster's errors, and others when a byte is wrong.
  void step();

 private:
  struct Step;
  Step next();

  Communicator& communicator_;
  std::uint64_t seed_;
  std::uint64_t calls_ = 0;
  Buffer shard_buffer_;
  Buffer full_buffer_;
  std::vector<std::byte> shard_;
  std::vector<std::byte> full_;
};

}  // namespace muster::test

// Data that changes from gather to gather, made and checked on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace muster::test {

// In device memory, zeroed: which round it is, and how many bytes have been wrong so far.
struct Rounds {
  std::uint64_t round;
  std::uint64_t wrong;
};

// Begins the next round: fills this rank's shard with its bytes.
void begin_round(
    Rounds* rounds, std::byte* shard, std::size_t bytes, int rank, cudaStream_t stream);

// Counts the wrong bytes of an output of `rows` rows, in each of which every rank has `row_bytes`.
void check_round(Rounds* rounds,
                 const std::byte* full,
                 int ranks,
                 std::size_t rows,
                 std::size_t row_bytes,
                 cudaStream_t stream);

}  // namespace muster::test

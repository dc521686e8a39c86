#include "fuzz_target.h"

#include "transport/shm/header.h"

#include <cstdlib>
#include <cstring>

namespace {

using namespace muster;
using namespace muster::transport::shm;

constexpr std::size_t arena_bytes = std::size_t{1} << 30;
constexpr std::size_t outer = 8;

Header valid_header(std::optional<std::size_t> shard, std::optional<std::size_t> output) {
  return make_header({.dtype = DataType::bfloat16,
                      .shard_shape = {8, 16},
                      .gather_dim = 1,
                      .outer = outer,
                      .shard_row_bytes = 32,
                      .shard_stride = 32,
                      .output_row_bytes = 64,
                      .output_stride = 64},
                     shard,
                     output);
}

// Does a tensor lie in the arena, counted so that nothing overflows?
bool in_arena(std::uint64_t offset, std::uint64_t stride, std::uint64_t row_bytes) {
  if (offset == private_memory || row_bytes == 0) return true;
  return static_cast<long double>(offset) + static_cast<long double>(stride) * (outer - 1) +
             static_cast<long double>(row_bytes) <=
         static_cast<long double>(arena_bytes);
}

}  // namespace

namespace muster::fuzz {

std::vector<Input> seeds() {
  std::vector<Input> inputs;
  for (const Header& header :
       {valid_header({}, {}), valid_header(4096, {}), valid_header(0, 8192)}) {
    Input input(sizeof header);
    std::memcpy(input.data(), &header, sizeof header);
    inputs.push_back(input);
  }
  return inputs;
}

}  // namespace muster::fuzz

// Whatever a peer writes can be compared and described; what passes as sane lies in its arena.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Header header;
  if (size < sizeof header) return 0;
  std::memcpy(&header, data, sizeof header);

  if (describe(header).empty()) std::abort();
  agree(header, valid_header({}, {}));
  if (!is_sane(header, outer, arena_bytes)) return 0;
  if (!in_arena(header.shard_offset, header.shard_stride, header.row_bytes)) std::abort();
  if (!in_arena(header.output_offset, header.output_stride, header.output_row_bytes)) std::abort();
  if (header.row_bytes > header.output_row_bytes) std::abort();
  if (header.in_outbox != 0 && header.row_bytes * outer > outbox_bytes) std::abort();
  return 0;
}

#include "faults/traffic.h"

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>
#include <string>

namespace muster::test {
namespace {

// Small ones most of the time; the last is more than staging holds.
constexpr std::array<std::size_t, 8> row_sizes{16, 200, 1024, 3000, 8192, 40000, 300000, 1100000};
constexpr std::size_t max_rows = 2;
constexpr std::size_t max_shard = max_rows * row_sizes.back();

std::byte content(std::uint64_t call, int member) {
  return static_cast<std::byte>(call * 31 + static_cast<std::uint64_t>(member) * 7);
}

}  // namespace

struct Traffic::Step {
  std::size_t rows;
  std::size_t row_bytes;
  bool shard_in_buffer;
  bool full_in_buffer;
};

Traffic::Traffic(World& world, Communicator& communicator, std::uint64_t seed)
    : communicator_(communicator),
      seed_(seed),
      shard_buffer_(world.allocate(max_shard)),
      full_buffer_(
          world.allocate(max_shard * static_cast<std::size_t>(communicator.group().size()))),
      shard_(shard_buffer_.size()),
      full_(full_buffer_.size()) {}

Traffic::Step Traffic::next() {
  std::mt19937_64 shared(seed_ * 1000003 + calls_);
  std::mt19937_64 mine(shared() + static_cast<std::uint64_t>(communicator_.position()));
  const std::size_t size = std::min(shared() % row_sizes.size(), shared() % row_sizes.size());
  return {1 + shared() % max_rows, row_sizes[size], mine() % 2 == 0, mine() % 2 == 0};
}

void Traffic::step() {
  const Step step = next();
  const int members = communicator_.group().size();
  const int me = communicator_.position();
  const std::size_t full_row = step.row_bytes * static_cast<std::size_t>(members);
  std::byte* shard = step.shard_in_buffer ? shard_buffer_.data() : shard_.data();
  std::byte* full = step.full_in_buffer ? full_buffer_.data() : full_.data();
  std::fill_n(shard, step.rows * step.row_bytes, content(calls_, me));
  std::fill_n(full, step.rows * full_row, std::byte{0xee});

  const auto rows = static_cast<std::int64_t>(step.rows);
  communicator_.all_gather(
      {shard, DataType::uint8, {rows, static_cast<std::int64_t>(step.row_bytes)}},
      {full, DataType::uint8, {rows, static_cast<std::int64_t>(full_row)}},
      1);

  for (std::size_t i = 0; i < step.rows * static_cast<std::size_t>(members); ++i) {
    const std::byte* section = full + i * step.row_bytes;
    const std::byte due = content(calls_, static_cast<int>(i) % members);
    if (std::any_of(section, section + step.row_bytes, [=](std::byte is) { return is != due; })) {
      throw std::runtime_error("a wrong byte in call " + std::to_string(calls_));
    }
  }
  ++calls_;
}

}  // namespace muster::test

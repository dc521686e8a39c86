#include "transport/nccl/schedule.h"

namespace muster::transport::nccl {

namespace {

class Maker {
 public:
  Maker(
      const Gather& gather, int self, int size, const shm::Agreement& agreement, std::byte* scratch)
      : g_(gather), self_(self), size_(size), agreement_(agreement), scratch_(scratch) {}

  Schedule make() {
    schedule_.before.rows = schedule_.after.rows = g_.outer;
    for (int i = 0; i < size_; ++i) schedule_.equal &= row_bytes(i) == row_bytes(self_);
    if (schedule_.equal) {
      gather_equal();
    } else {
      exchange_unequal();
    }
    return std::move(schedule_);
  }

 private:
  std::size_t row_bytes(int i) const { return agreement_.header(i).row_bytes; }
  bool in_place() const { return g_.in_place_offset != Gather::not_in_place; }
  bool in_one_row() const { return g_.outer <= 1; }

  // Where NCCL puts member i's section: in its place already, where the output is one row.
  std::byte* landing(int i) const {
    return in_one_row() ? g_.output + agreement_.row_offset(i)
                        : scratch_ + g_.outer * agreement_.row_offset(i);
  }

  // The own section without gaps between its rows.
  const std::byte* packed_shard() {
    if (in_one_row() || g_.shard_stride == g_.shard_row_bytes) return g_.shard;
    schedule_.before.add(
        {g_.shard, g_.shard_stride, landing(self_), g_.shard_row_bytes, g_.shard_row_bytes});
    return landing(self_);
  }

  void place(int i) {
    if (in_one_row()) return;
    schedule_.after.add({landing(i),
                         row_bytes(i),
                         g_.output + agreement_.row_offset(i),
                         g_.output_stride,
                         row_bytes(i)});
  }

  void gather_equal() {
    schedule_.from = packed_shard();
    schedule_.to = landing(0);
    schedule_.bytes = g_.shard_bytes();
    for (int i = 0; i < size_; ++i) {
      if (i != self_ || !in_place()) place(i);
    }
  }

  void exchange_unequal() {
    auto* const shard = const_cast<std::byte*>(packed_shard());  // NCCL reads it
    for (int k = 1; k < size_; ++k) {
      const int to = (self_ + k) % size_;
      const int from = (self_ + size_ - k) % size_;
      if (g_.shard_row_bytes > 0) schedule_.sent.push_back({to, shard, g_.shard_bytes()});
      if (row_bytes(from) == 0) continue;
      schedule_.received.push_back({from, landing(from), g_.outer * row_bytes(from)});
      place(from);
    }
    if (in_place()) return;
    schedule_.before.add({g_.shard,
                          g_.shard_stride,
                          g_.output + agreement_.row_offset(self_),
                          g_.output_stride,
                          g_.shard_row_bytes});
  }

  const Gather& g_;
  const int self_;
  const int size_;
  const shm::Agreement& agreement_;
  std::byte* const scratch_;
  Schedule schedule_;
};

}  // namespace

Schedule make_schedule(
    const Gather& gather, int self, int size, const shm::Agreement& agreement, std::byte* scratch) {
  return Maker(gather, self, size, agreement, scratch).make();
}

std::size_t scratch_bytes(const Gather& gather) {
  return gather.outer <= 1 ? 0 : gather.outer * gather.output_row_bytes;
}

}  // namespace muster::transport::nccl

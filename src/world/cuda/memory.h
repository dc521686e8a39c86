// GPU memory that ranks share: driver virtual memory, whose handles travel as descriptors.
#pragma once

#include "world/cuda/driver.h"
#include "world/device_memory.h"
#include "world/parcels.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace muster::world::cuda {

using Uuid = std::array<char, 16>;

// What a peer must know of an arena to reach it.
struct Reach {
  Uuid device{};
  std::uint64_t base = 0;  // the address in the process of its owner
  std::uint64_t bytes = 0;
};

// Addresses of this process with physical memory behind some of them.
class Reservation {
 public:
  explicit Reservation(std::size_t bytes);  // Throws out_of_memory.
  ~Reservation();
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  // NOLINTNEXTLINE(performance-no-int-to-ptr): the driver's addresses are numbers
  std::byte* base() const noexcept { return reinterpret_cast<std::byte*>(base_); }
  std::size_t bytes() const noexcept { return bytes_; }

  // Is there memory behind all of the range?
  bool holds(Range range) const noexcept;
  // The part of the range before the first memory in it.
  Range first_hole(Range range) const noexcept;

  // Puts memory there for all devices of this process that can reach it; `home` must, and so must
  // those that reach what is there already. Owns the handle from now on, whatever happens.
  void map(Range range, CUmemGenericAllocationHandle handle, int home);

  // Takes memory away again that nobody uses.
  void unmap_what_overlaps(Range range);

 private:
  CUdeviceptr base_ = 0;
  std::size_t bytes_;
  std::set<int> reaching_;                     // devices, from the first memory on
  std::map<std::size_t, std::size_t> mapped_;  // offset, bytes
};

// The memory of this rank on one device. It grows and never shrinks: to give memory back, all peers
// would have to let go of it.
class CudaArena final : public Arena {
 public:
  CudaArena(State& state, int ordinal);
  ~CudaArena() override;

  Reach reach() const noexcept;
  int ordinal() const noexcept { return ordinal_; }

  // For small work of muster's own, which nobody waits for but who asked.
  cudaStream_t service_stream() const noexcept { return stream_; }

 private:
  CudaArena(State& state, int ordinal, std::shared_ptr<Reservation> reservation);
  void commit(Range range) override;
  bool decommit(Range) noexcept override { return false; }
  void zero(Range range) override;
  void grow(Range hole);
  void hand_out(CUmemGenericAllocationHandle handle, Range range);

  State& state_;
  const int ordinal_;
  const Uuid uuid_;
  const std::shared_ptr<Reservation> reservation_;
  std::size_t granularity_ = 0;
  cudaStream_t stream_ = nullptr;
};

// All that a rank knows of GPU memory: its own arenas, and its peers'.
class CudaMemory final : public DeviceMemory {
 public:
  explicit CudaMemory(State& state);
  ~CudaMemory() override;

  CudaArena& arena(int ordinal) override;

  // Where a peer's arena lies in this process, for kernels on device `ordinal`. Requires that what
  // its owner carved has been handed out, as it has when allocate() returned there. Throws
  // unsupported when that device cannot reach it.
  std::byte* base_of(int rank, const Reach& reach, int ordinal);

 private:
  bool take(const Parcel& parcel);

  State& state_;
  std::mutex mutex_;
  std::map<int, std::unique_ptr<CudaArena>> own_;  // by ordinal
  std::mutex peers_mutex_;
  std::map<std::pair<int, Uuid>, std::shared_ptr<Reservation>> peers_;  // by rank and device
};

}  // namespace muster::world::cuda

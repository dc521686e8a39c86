#include "world/cuda/memory.h"

#include "muster/error.h"
#include "muster/world.h"
#include "world/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace muster::world {

std::unique_ptr<DeviceMemory> make_device_memory(State& state) {
  return std::make_unique<cuda::CudaMemory>(state);
}

namespace cuda {

namespace {

// An arena grows by this much, so that small things share few handles.
constexpr std::size_t growth = std::size_t{64} << 20;

// What is written on a parcel of memory.
struct Label {
  Uuid device;
  std::uint64_t arena_bytes;
  std::uint64_t offset;
  std::uint64_t bytes;
};
static_assert(sizeof(Label) <= Parcels::longest_label);

CUmemAllocationProp properties_of(int ordinal) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, {ordinal}};
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return properties;
}

Uuid uuid_of(int ordinal) {
  cudaDeviceProp properties{};
  require(cudaGetDeviceProperties(&properties, ordinal), "asking for a device's properties");
  Uuid uuid;
  std::copy_n(properties.uuid.bytes, uuid.size(), uuid.begin());
  return uuid;
}

std::size_t arena_bytes_of(int ordinal) {
  const CurrentDevice current(ordinal);
  std::size_t free = 0;
  std::size_t total = 0;
  require(cudaMemGetInfo(&free, &total), "asking for a device's memory");
  // Twice over, so that fragmentation does not matter: it costs addresses only.
  return std::bit_ceil(2 * total);
}

// The arenas of this process' own ranks. Ranks that are threads reach each other's at the addresses
// of their owners, and keep them from being unmapped.
class Registry {
 public:
  static Registry& instance() {
    static Registry registry;
    return registry;
  }

  void add(const std::shared_ptr<Reservation>& reservation) {
    const std::lock_guard lock(mutex_);
    std::erase_if(reservations_, [](const auto& entry) { return entry.second.expired(); });
    reservations_[reinterpret_cast<std::uint64_t>(reservation->base())] = reservation;
  }
  std::shared_ptr<Reservation> find(std::uint64_t base) {
    const std::lock_guard lock(mutex_);
    const auto found = reservations_.find(base);
    return found == reservations_.end() ? nullptr : found->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, std::weak_ptr<Reservation>> reservations_;
};

std::shared_ptr<Reservation> reserve_for(int ordinal) {
  require_device(ordinal);
  int supported = 0;
  require(driver().device_get_attribute(
              &supported, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, ordinal),
          "asking what a device can share");
  if (supported == 0) {
    throw Error(ErrorCode::unsupported,
                fmt::format("cuda:{} cannot share memory through descriptors", ordinal));
  }
  auto reservation = std::make_shared<Reservation>(arena_bytes_of(ordinal));
  Registry::instance().add(reservation);
  return reservation;
}

}  // namespace

Reservation::Reservation(std::size_t bytes) : bytes_(bytes) {
  require(driver().address_reserve(&base_, bytes, 0, 0, 0),
          fmt::format("reserving {} bytes of GPU addresses", bytes));
}

Reservation::~Reservation() {
  for (const auto& [offset, bytes] : mapped_) driver().unmap(base_ + offset, bytes);
  driver().address_free(base_, bytes_);
}

Range Reservation::first_hole(Range range) const noexcept {
  std::size_t at = range.offset;
  auto next = mapped_.upper_bound(at);
  if (next != mapped_.begin()) {
    const auto previous = std::prev(next);
    at = std::max(at, previous->first + previous->second);
  }
  for (; next != mapped_.end() && next->first == at; ++next) at += next->second;
  const std::size_t end = next == mapped_.end() ? bytes_ : next->first;
  return at >= range.end() ? Range{range.end(), 0} : Range{at, end - at};
}

bool Reservation::holds(Range range) const noexcept {
  return first_hole(range).bytes == 0;
}

void Reservation::map(Range range, CUmemGenericAllocationHandle handle, int home) {
  const CUresult status = driver().map(base_ + range.offset, range.bytes, 0, handle, 0);
  driver().release(handle);  // the mapping keeps the memory
  require(status, "mapping GPU memory");
  std::set<int> reaching;
  CUresult refusal = CUDA_SUCCESS;
  const int devices = device_count();
  for (int i = 0; i < devices; ++i) {
    CUmemAccessDesc access{};
    access.location = {CU_MEM_LOCATION_TYPE_DEVICE, {i}};
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    const CUresult granted = driver().set_access(base_ + range.offset, range.bytes, &access, 1);
    if (granted == CUDA_SUCCESS) {
      reaching.insert(i);
    } else if (i == home || reaching_.contains(i)) {
      refusal = granted;
    }
  }
  if (refusal != CUDA_SUCCESS) driver().unmap(base_ + range.offset, range.bytes);
  require(refusal, "opening GPU memory to a device");
  if (mapped_.empty()) reaching_ = std::move(reaching);
  mapped_.emplace(range.offset, range.bytes);
}

void Reservation::unmap_what_overlaps(Range range) {
  std::erase_if(mapped_, [&](const auto& mapped) {
    if (!range.overlaps({mapped.first, mapped.second})) return false;
    driver().unmap(base_ + mapped.first, mapped.second);
    return true;
  });
}

// What cudaMalloc's memory has, and engines demand: that of textures, on all devices so far.
// https://docs.nvidia.com/cuda/cuda-c-programming-guide/ (cudaDevAttrTextureAlignment)
constexpr std::size_t alignment = 512;

CudaArena::CudaArena(State& state, int ordinal) : CudaArena(state, ordinal, reserve_for(ordinal)) {}

CudaArena::CudaArena(State& state, int ordinal, std::shared_ptr<Reservation> reservation)
    : Arena(reservation->base(), reservation->bytes(), alignment),
      state_(state),
      ordinal_(ordinal),
      uuid_(uuid_of(ordinal)),
      reservation_(std::move(reservation)) {
  const CUmemAllocationProp properties = properties_of(ordinal);
  require(driver().granularity(&granularity_, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
          "asking for the granularity of GPU memory");
  const CurrentDevice current(ordinal);
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

CudaArena::~CudaArena() {
  cudaStreamDestroy(stream_);
}

Reach CudaArena::reach() const noexcept {
  return {uuid_, reinterpret_cast<std::uint64_t>(base()), bytes()};
}

void CudaArena::commit(Range range) {
  const std::size_t begin = range.offset / granularity_ * granularity_;
  const std::size_t end = (range.end() + granularity_ - 1) / granularity_ * granularity_;
  for (;;) {
    const Range hole = reservation_->first_hole({begin, end - begin});
    if (hole.bytes == 0) return;
    const std::size_t needed = std::min(hole.end(), end) - hole.offset;
    const Range generous{hole.offset, std::min(hole.bytes, std::max(needed, growth))};
    try {
      grow(generous);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory || generous.bytes == needed) throw;
      grow({hole.offset, needed});
    }
  }
}

void CudaArena::grow(Range hole) {
  const CUmemAllocationProp properties = properties_of(ordinal_);
  CUmemGenericAllocationHandle handle = 0;
  require(driver().create(&handle, hole.bytes, &properties, 0),
          fmt::format("{} bytes asked of cuda:{}", hole.bytes, ordinal_));
  try {
    hand_out(handle, hole);
  } catch (...) {
    driver().release(handle);
    throw;
  }
  reservation_->map(hole, handle, ordinal_);
}

// Peers map the memory before its owner uses it.
void CudaArena::hand_out(CUmemGenericAllocationHandle handle, Range range) {
  if (!state_.parcels().between_processes()) return;
  int fd = -1;
  require(driver().export_handle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
          "exporting GPU memory");
  const UniqueFd descriptor(fd);
  const Label label{uuid_, bytes(), range.offset, range.bytes};
  const auto refused = state_.parcels().give(descriptor.get(),
                                             std::as_bytes(std::span(&label, 1)),
                                             state_.liveness(),
                                             deadline_after(World::default_timeout));
  if (refused) {
    throw Error(ErrorCode::out_of_memory,
                fmt::format("rank {} cannot map {} bytes of cuda:{} of rank {}",
                            *refused,
                            range.bytes,
                            ordinal_,
                            state_.rank()),
                *refused);
  }
}

void CudaArena::zero(Range range) {
  const CurrentDevice current(ordinal_);
  require(cudaMemsetAsync(base() + range.offset, 0, range.bytes, stream_), "clearing GPU memory");
  require(cudaStreamSynchronize(stream_), "clearing GPU memory");
}

CudaMemory::CudaMemory(State& state) : state_(state) {
  driver();
  state_.parcels().set_taker([this](const Parcel& parcel) { return take(parcel); });
}

CudaMemory::~CudaMemory() {
  state_.parcels().set_taker({});
}

CudaArena& CudaMemory::arena(int ordinal) {
  const std::lock_guard lock(mutex_);
  auto& arena = own_[ordinal];
  try {
    if (!arena) arena = std::make_unique<CudaArena>(state_, ordinal);
  } catch (...) {
    own_.erase(ordinal);
    throw;
  }
  return *arena;
}

// A peer's memory. Where no device of this process can reach it, that is told when a communicator
// wants it.
bool CudaMemory::take(const Parcel& parcel) {
  Label label{};
  if (parcel.label.size() != sizeof label) return false;
  std::memcpy(&label, parcel.label.data(), sizeof label);
  if (label.bytes > label.arena_bytes || label.offset > label.arena_bytes - label.bytes ||
      label.arena_bytes > std::size_t{1} << 44) {
    return false;
  }
  const std::lock_guard lock(peers_mutex_);
  auto& reservation = peers_[{parcel.from, label.device}];
  try {
    if (!reservation) reservation = std::make_shared<Reservation>(label.arena_bytes);
    if (reservation->bytes() != label.arena_bytes) return false;
    CUmemGenericAllocationHandle handle = 0;
    const auto number = static_cast<std::intptr_t>(parcel.descriptor.get());
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the driver takes descriptors so
    auto* const descriptor = reinterpret_cast<void*>(number);
    require(driver().import_handle(&handle, descriptor, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
            "importing a peer's GPU memory");
    // What lies there was handed out in vain: its owner, which another peer refused, never used it.
    reservation->unmap_what_overlaps({label.offset, label.bytes});
    reservation->map({label.offset, label.bytes}, handle, -1);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::byte* CudaMemory::base_of(int rank, const Reach& reach, int ordinal) {
  std::byte* base = nullptr;
  {
    const std::lock_guard lock(peers_mutex_);
    auto& reservation = peers_[{rank, reach.device}];
    if (!state_.parcels().between_processes()) reservation = Registry::instance().find(reach.base);
    if (reservation && reservation->bytes() == reach.bytes) base = reservation->base();
  }
  const CUmemLocation device{CU_MEM_LOCATION_TYPE_DEVICE, {ordinal}};
  unsigned long long access = 0;
  if (base == nullptr ||
      driver().get_access(&access, &device, reinterpret_cast<CUdeviceptr>(base)) != CUDA_SUCCESS ||
      access != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
    throw Error(ErrorCode::unsupported,
                fmt::format("cuda:{} of rank {} cannot reach the GPU memory of rank {}: the "
                            "devices have no peer access (see `nvidia-smi topo -p2p n`), or "
                            "CUDA_VISIBLE_DEVICES hides one from the other's process; place the "
                            "ranks on devices that reach each other",
                            ordinal,
                            state_.rank(),
                            rank),
                rank);
  }
  return base;
}

}  // namespace cuda
}  // namespace muster::world

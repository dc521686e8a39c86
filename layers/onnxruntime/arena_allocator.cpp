#include "arena_allocator.h"

#include "process_world.h"

#include <muster/error.h>
#include <onnxruntime_session_options_config_keys.h>

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace muster::onnxruntime {

namespace {

// Buffers' own alignment, which the engine's kernels may rely on.
constexpr std::size_t alignment = 128;

// Smaller tensors come from malloc: muster gathers those through its mailboxes anyway, and the
// engine makes many of them.
constexpr std::size_t smallest_in_arena = 4096;

// Lies in front of a block.
struct alignas(alignment) Prefix {
  Buffer memory;  // empty where the block comes from malloc
};
static_assert(sizeof(Prefix) == alignment);

// From the first byte that was handed out to behind the last. An arena is one mapping: whatever
// lies between two addresses of it belongs to it.
std::atomic<std::uintptr_t> lowest = UINTPTR_MAX;
std::atomic<std::uintptr_t> highest = 0;

void note_extent(const Buffer& memory) noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  const auto end = begin + memory.size();
  for (auto seen = lowest.load(); begin < seen && !lowest.compare_exchange_weak(seen, begin);) {
  }
  for (auto seen = highest.load(); end > seen && !highest.compare_exchange_weak(seen, end);) {
  }
}

// A forked child inherits the engine's objects, but not the arena that they lie in.
std::atomic<bool> in_child = false;

Buffer from_arena(std::size_t bytes) noexcept {
  if (bytes < smallest_in_arena || in_child) return {};
  try {
    Buffer memory = process_world().allocate(bytes);
    note_extent(memory);
    return memory;
  } catch (const std::exception&) {
    return {};  // the arena is full; ordinary memory takes one more copy
  }
}

void* allocate(std::size_t bytes, bool reachable) noexcept {
  std::size_t whole = 0;
  if (__builtin_add_overflow(bytes, sizeof(Prefix) + alignment - 1, &whole)) return nullptr;
  whole = whole / alignment * alignment;
  Buffer memory = reachable ? from_arena(whole) : Buffer();
  void* place = memory.data() != nullptr ? memory.data() : std::aligned_alloc(alignment, whole);
  if (place == nullptr) return nullptr;
  return new (place) Prefix{std::move(memory)} + 1;
}

void free(void* data) noexcept {
  if (data == nullptr || (in_child && in_arena(data))) return;
  Prefix* prefix = static_cast<Prefix*>(data) - 1;
  Buffer memory = std::move(prefix->memory);  // it must not destroy itself where it lies
  prefix->~Prefix();
  if (memory.data() == nullptr) std::free(prefix);
}

struct Allocator : OrtAllocator {
  Allocator() : OrtAllocator{} {
    version = api_version;
    OrtAllocator::Alloc = [](OrtAllocator*, std::size_t bytes) { return allocate(bytes, true); };
    // What lives as long as a session is no activation.
    OrtAllocator::Reserve = [](OrtAllocator*, std::size_t bytes) { return allocate(bytes, false); };
    OrtAllocator::Free = [](OrtAllocator*, void* data) { onnxruntime::free(data); };
    OrtAllocator::Info = [](const OrtAllocator* self) -> const OrtMemoryInfo* {
      return static_cast<const Allocator*>(self)->memory_;
    };
  }

  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
};

// With the environment that the process has; there is one at a time.
bool register_allocator() {
  static Allocator& allocator = *new Allocator;  // may be called when all else is gone
  static const int at_fork = ::pthread_atfork(nullptr, nullptr, [] { in_child = true; });
  if (at_fork != 0) return false;
  static std::atomic<bool> registered = false;
  OrtEnv* env = nullptr;
  // Fails where the process has one that this call does not know: in Python with old engines.
  const Ort::Status found(Ort::GetApi().CreateEnv(ORT_LOGGING_LEVEL_WARNING, "muster", &env));
  if (!found.IsOK()) return false;
  const Ort::Status status(Ort::GetApi().RegisterAllocator(env, &allocator));
  Ort::GetApi().ReleaseEnv(env);  // the application's stays
  // It fails where one is registered: this one, or the application's.
  if (status.IsOK()) registered = true;
  return registered;
}

}  // namespace

void use_arena_allocator(OrtSessionOptions& options) {
  const Ort::UnownedSessionOptions session(&options);
  if (process_world().size() == 1 ||
      session.HasConfigEntry(kOrtSessionOptionsConfigUseEnvAllocators)) {
    return;
  }
  if (register_allocator()) {
    Ort::ThrowOnError(Ort::GetApi().AddSessionConfigEntry(
        &options, kOrtSessionOptionsConfigUseEnvAllocators, "1"));
  }
}

bool in_arena(const void* data) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return address >= lowest.load(std::memory_order_relaxed) &&
         address < highest.load(std::memory_order_relaxed);
}

}  // namespace muster::onnxruntime

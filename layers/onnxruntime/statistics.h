// Counters over all nodes of the process.
#pragma once

#include <chrono>
#include <cstdint>

namespace muster::onnxruntime {

struct GatherRecord {
  std::chrono::nanoseconds time;
  std::uint64_t output_bytes = 0;
  bool output_in_arena = false;
  bool section_in_arena = false;
};

// Thread-safe.
void record(const GatherRecord& gather) noexcept;

}  // namespace muster::onnxruntime

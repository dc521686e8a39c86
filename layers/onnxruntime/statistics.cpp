#include "statistics.h"

#include <muster/onnxruntime.h>

#include <atomic>

namespace muster::onnxruntime {

namespace {

struct Counters {
  std::atomic<std::uint64_t> gathers = 0;
  std::atomic<std::uint64_t> output_bytes = 0;
  std::atomic<std::uint64_t> nanoseconds = 0;
  std::atomic<std::uint64_t> outputs_in_arena = 0;
  std::atomic<std::uint64_t> sections_in_arena = 0;
};

Counters counters;

void add(std::atomic<std::uint64_t>& counter, std::uint64_t value) noexcept {
  counter.fetch_add(value, std::memory_order_relaxed);
}

}  // namespace

void record(const GatherRecord& gather) noexcept {
  add(counters.gathers, 1);
  add(counters.output_bytes, gather.output_bytes);
  add(counters.nanoseconds, static_cast<std::uint64_t>(gather.time.count()));
  add(counters.outputs_in_arena, gather.output_in_arena ? 1 : 0);
  add(counters.sections_in_arena, gather.section_in_arena ? 1 : 0);
}

}  // namespace muster::onnxruntime

void muster_onnxruntime_statistics(MusterOnnxRuntimeStatistics* statistics) {
  using muster::onnxruntime::counters;
  constexpr auto relaxed = std::memory_order_relaxed;
  *statistics = {.gathers = counters.gathers.load(relaxed),
                 .output_bytes = counters.output_bytes.load(relaxed),
                 .nanoseconds = counters.nanoseconds.load(relaxed),
                 .outputs_in_arena = counters.outputs_in_arena.load(relaxed),
                 .sections_in_arena = counters.sections_in_arena.load(relaxed)};
}

/// @file
/// What libmuster_onnxruntime.so exports beside RegisterCustomOps, in C. ONNX Runtime needs none of
/// it; programs and tools that want to look at what the layer does may.
#pragma once

// NOLINTBEGIN(modernize-*): this is C, too.
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What the AllGather nodes of all sessions of this process have done so far. Counters only grow,
/// and there will never be more of them in this structure, which callers may declare themselves.
typedef struct MusterOnnxRuntimeStatistics {
  uint64_t gathers;            ///< gathers that succeeded
  uint64_t output_bytes;       ///< bytes of their outputs
  uint64_t nanoseconds;        ///< time spent in the nodes, waiting for other ranks included
  uint64_t outputs_in_arena;   ///< gathers whose output the other ranks could write to: pushed
  uint64_t sections_in_arena;  ///< gathers whose section the other ranks could read
} MusterOnnxRuntimeStatistics;

/// Fills in `statistics`. Thread-safe. Never fails.
__attribute__((visibility("default"))) void muster_onnxruntime_statistics(
    MusterOnnxRuntimeStatistics* statistics);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-*)

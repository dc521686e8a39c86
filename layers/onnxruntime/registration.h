// What both libraries register.
#pragma once

#include "attributes.h"

#include <muster/export.h>

namespace muster::onnxruntime {

// Adds the domain with its AllGather to a session's options, and has the session use the arena's
// allocator. Joins the world when it is called first, which waits for the other ranks. Thread-safe.
MUSTER_EXPORT OrtStatus* register_domain(OrtSessionOptions* options,
                                         const OrtApiBase* base,
                                         Dialect dialect) noexcept;

}  // namespace muster::onnxruntime

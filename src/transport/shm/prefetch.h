// Taking a cache line from another core before it is written.
#pragma once

namespace muster::transport::shm {

// Asks for the line, to write to it soon. Changes nothing but how long the write takes, and may be
// ignored. Not __builtin_prefetch: without -mprfchw that asks for a line to read. (Where an x86-64
// processor has no PREFETCHW, it does nothing: Intel SDM, volume 2.)
inline void prefetch_to_write(const void* line) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(line)));
#else
  __builtin_prefetch(line, 1);
#endif
}

}  // namespace muster::transport::shm

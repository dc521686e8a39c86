// Compiled once for each instruction set that Highway knows; the best one is chosen at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "transport/shm/copy.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "transport/shm/copy.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace muster::transport::shm {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t cache_line = 64;

// One run with non-temporal stores: whole cache lines, so that write combining never has to read.
void copy_run_bypassing(std::uint8_t* HWY_RESTRICT to,
                        const std::uint8_t* HWY_RESTRICT from,
                        std::size_t bytes) {
  const hn::CappedTag<std::uint8_t, cache_line> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(to) % cache_line;
  const std::size_t head = misaligned == 0 ? 0 : std::min(bytes, cache_line - misaligned);
  std::memcpy(to, from, head);
  std::size_t i = head;
  for (; i + cache_line <= bytes; i += cache_line) {
    for (std::size_t j = 0; j < cache_line; j += lanes) {
      hn::Stream(hn::LoadU(d, from + i + j), d, to + i + j);
    }
  }
  std::memcpy(to + i, from + i, bytes - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace muster::transport::shm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace muster::transport::shm {

HWY_EXPORT(copy_run_bypassing);

namespace {

// Rows shorter than this are not worth non-temporal stores: most of each would be head and tail.
constexpr std::size_t shortest_bypassing_run = 512;

void copy_run(std::byte* to, const std::byte* from, std::size_t bytes, Caching caching) {
  if (caching == Caching::bypass && bytes >= shortest_bypassing_run) {
    HWY_DYNAMIC_DISPATCH(copy_run_bypassing)
    (reinterpret_cast<std::uint8_t*>(to), reinterpret_cast<const std::uint8_t*>(from), bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

// Longer rows are left to memcpy, whose call no longer counts.
constexpr std::size_t longest_inline_run = 256;

template <std::size_t bytes>
void copy_chunk(std::byte* to, const std::byte* from) {
  std::memcpy(to, from, bytes);  // of a size that the compiler knows: a load and a store
}

// A short run, in chunks of which the last two may overlap.
template <std::size_t chunk>
void copy_in_chunks(std::byte* to, const std::byte* from, std::size_t bytes) {
  for (std::size_t i = 0; i + chunk < bytes; i += chunk) copy_chunk<chunk>(to + i, from + i);
  copy_chunk<chunk>(to + bytes - chunk, from + bytes - chunk);
}

template <std::size_t chunk>
void copy_short_rows(MutableRows to, ConstRows from, std::size_t row_bytes, std::size_t rows) {
  for (std::size_t r = 0; r < rows; ++r) {
    copy_in_chunks<chunk>(to.data + r * to.stride, from.data + r * from.stride, row_bytes);
  }
}

void copy_whole_rows(
    MutableRows to, ConstRows from, std::size_t row_bytes, std::size_t rows, Caching caching) {
  if (row_bytes <= longest_inline_run) {
    if (row_bytes >= 16) return copy_short_rows<16>(to, from, row_bytes, rows);
    if (row_bytes >= 8) return copy_short_rows<8>(to, from, row_bytes, rows);
    if (row_bytes >= 4) return copy_short_rows<4>(to, from, row_bytes, rows);
    if (row_bytes >= 2) return copy_short_rows<2>(to, from, row_bytes, rows);
    return copy_short_rows<1>(to, from, row_bytes, rows);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    copy_run(to.data + r * to.stride, from.data + r * from.stride, row_bytes, caching);
  }
}

}  // namespace

void copy_section(const MutableRows& to,
                  const ConstRows& from,
                  std::size_t row_bytes,
                  std::size_t begin,
                  std::size_t end,
                  Caching caching) {
  if (begin >= end) return;
  if (to.stride == row_bytes && from.stride == row_bytes) {
    return copy_run(to.data + begin, from.data + begin, end - begin, caching);
  }
  std::size_t row = begin / row_bytes;
  const std::size_t within = begin % row_bytes;
  if (within != 0) {  // the rest of a row
    const std::size_t bytes = std::min(row_bytes - within, end - begin);
    copy_run(
        to.data + row * to.stride + within, from.data + row * from.stride + within, bytes, caching);
    begin += bytes;
    ++row;
  }
  const std::size_t rows = (end - begin) / row_bytes;
  copy_whole_rows({to.data + row * to.stride, to.stride},
                  {from.data + row * from.stride, from.stride},
                  row_bytes,
                  rows,
                  caching);
  begin += rows * row_bytes;
  row += rows;
  copy_run(to.data + row * to.stride, from.data + row * from.stride, end - begin, caching);
}

void finish_bypassing() noexcept {
  hwy::FlushStream();
}

}  // namespace muster::transport::shm
#endif

// Copies of strided rows. No store touches a byte outside the rows.
#pragma once

#include <cstddef>

namespace muster::transport::shm {

// Rows in memory: row r begins at data + r * stride.
struct ConstRows {
  const std::byte* data;
  std::size_t stride;
};
struct MutableRows {
  std::byte* data;
  std::size_t stride;
};

enum class Caching {
  keep,    // what is written will be read soon, and fits a cache
  bypass,  // it will not: non-temporal stores, to be ordered by finish_bypassing()
};

// Copies bytes [begin, end) of a section, counted row after row without the gaps between them.
void copy_section(const MutableRows& to,
                  const ConstRows& from,
                  std::size_t row_bytes,
                  std::size_t begin,
                  std::size_t end,
                  Caching caching);

// Makes all non-temporal stores of this thread visible before its later stores.
void finish_bypassing() noexcept;

}  // namespace muster::transport::shm

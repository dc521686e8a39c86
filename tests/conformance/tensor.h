// Tensors whose every byte is watched.
#pragma once

#include "conformance/transport.h"
#include "support/array.h"

#include <cstdint>
#include <span>
#include <vector>

namespace muster::test {

// How a tensor lies in its memory, in bytes.
struct Layout {
  std::size_t shift = 0;    // from an address aligned to 64
  std::size_t padding = 0;  // behind each row
};

// A tensor in poisoned memory, with guards around it and between its rows.
class GuardedTensor {
 public:
  GuardedTensor(const Rank& rank,
                Place place,
                DataType dtype,
                std::vector<std::int64_t> shape,
                std::size_t axis,
                Layout layout);

  // To gather along the axis. Null if there are no bytes.
  TensorView view() const;
  // The part with this extent in the axis, behind `offset` others.
  TensorView section(std::int64_t offset, std::int64_t extent) const;

  // Writes the part that lies behind `offset` others in the axis.
  void write(const Array& part, std::int64_t offset = 0);

  // Throws unless the memory holds what was written, and poison everywhere else.
  void expect_unchanged(const char* what) const;
  // Throws unless the memory holds `whole`, and what it held everywhere else.
  void expect(const Array& whole, const char* what);

 private:
  std::size_t rows() const;
  std::size_t row_bytes(std::int64_t extent) const;
  void overlay(const Array& part, std::int64_t offset);

  const Memory& memory_;
  DataType dtype_;
  std::vector<std::int64_t> shape_;
  std::size_t axis_;
  std::size_t stride_;
  std::size_t start_;             // of the first row, in the block
  std::vector<std::byte> image_;  // what the block ought to hold
  Block block_;
};

}  // namespace muster::test

// Memory for benchmarks: page-aligned, and present before anything is measured.
#pragma once

#include <muster/world.h>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace muster::tool {

class Mapping {
 public:
  Mapping() noexcept = default;
  explicit Mapping(std::size_t bytes);         // ordinary memory of this process
  Mapping(std::size_t bytes, int descriptor);  // shared with who else maps it
  ~Mapping();
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

// Writes to every page, so that no measured store faults.
void prefault(std::span<std::byte> memory);

// Each rank brings so many bytes of shared memory; element r of the result is rank r's, mapped
// here. Every rank of the world calls it. They may differ in size.
std::vector<Mapping> share_memory(World& world, std::size_t bytes);

}  // namespace muster::tool

/// @file
/// Where tensors live and in which order work on them is done.
#pragma once

#include <string>

namespace muster {

/// A device that holds tensors: the CPU, or CUDA device k. A value type.
class Device {
 public:
  enum class Kind { cpu, cuda };

  static constexpr Device cpu() noexcept { return {Kind::cpu, 0}; }
  /// @param ordinal the CUDA runtime's number of the device, in this process.
  static constexpr Device cuda(int ordinal) noexcept { return {Kind::cuda, ordinal}; }

  constexpr Kind kind() const noexcept { return kind_; }
  constexpr int ordinal() const noexcept { return ordinal_; }

  /// "cpu", "cuda:1"
  std::string to_string() const {
    return kind_ == Kind::cpu ? "cpu" : "cuda:" + std::to_string(ordinal_);
  }

  friend constexpr bool operator==(const Device&, const Device&) = default;

 private:
  constexpr Device(Kind kind, int ordinal) noexcept : kind_(kind), ordinal_(ordinal) {}

  Kind kind_;
  int ordinal_;
};

/// A device's stream as a plain handle (a cudaStream_t on CUDA). On the CPU there is only the
/// default one: a gather has finished when the call returns.
class Stream {
 public:
  constexpr Stream() noexcept = default;
  constexpr explicit Stream(void* handle) noexcept : handle_(handle) {}

  constexpr void* handle() const noexcept { return handle_; }
  friend constexpr bool operator==(const Stream&, const Stream&) = default;

 private:
  void* handle_ = nullptr;
};

}  // namespace muster

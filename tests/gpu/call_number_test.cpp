// What the kernels make of a call's number, of which packets hold 32 bits: two members' kernels
// without anything around them, so that the number is what a test says.
#include "transport/cuda/kernels.h"
#include "transport/shm/header.h"
#include "transport/transport.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace muster::transport::cuda {
namespace {

using namespace std::chrono_literals;

constexpr int size = 2;
constexpr std::size_t longest = 1 << 20;  // section, in bytes
constexpr std::size_t packed = 32 << 10;  // a section that still travels as packets

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

bool have_gpu() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  return status == cudaSuccess && count > 0;
}

template <cudaError_t (*release)(void*)>
struct Free {
  void operator()(std::byte* memory) const { release(memory); }
};
using DeviceMemory = std::unique_ptr<std::byte, Free<cudaFree>>;
using PinnedMemory = std::unique_ptr<std::byte, Free<cudaFreeHost>>;

DeviceMemory device_memory(std::size_t bytes) {
  void* memory = nullptr;
  require(cudaMalloc(&memory, bytes));
  DeviceMemory owner(static_cast<std::byte*>(memory));
  require(cudaMemset(memory, 0, bytes));
  return owner;
}

PinnedMemory pinned_memory(std::size_t bytes) {
  void* memory = nullptr;
  require(cudaHostAlloc(&memory, bytes, cudaHostAllocMapped));
  PinnedMemory owner(static_cast<std::byte*>(memory));
  std::fill_n(owner.get(), bytes, std::byte{0});
  return owner;
}

class Member {
 public:
  Member() { require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Member() { cudaStreamDestroy(stream_); }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  std::byte* control() const { return control_.get(); }
  Mapped& mapped() const { return *reinterpret_cast<Mapped*>(mapped_.get()); }

  void set_calls(std::uint64_t calls) const {
    Own own;
    require(cudaMemcpy(&own, control(), sizeof own, cudaMemcpyDefault));
    own.started = calls;
    std::fill_n(own.calls, most_blocks, calls);
    require(cudaMemcpy(control(), &own, sizeof own, cudaMemcpyDefault));
  }

  void fill(std::size_t bytes, int value) {
    require(cudaMemset(shard_.get(), value, bytes));
    require(cudaMemset(output_.get(), 0xee, size * bytes));
    require(cudaDeviceSynchronize());
  }

  // Each of them has `bytes` bytes.
  void launch(const Kernels& kernels,
              int self,
              const std::array<Member, size>& members,
              std::size_t bytes) {
    Gather gather;
    gather.shard_shape = Shape{static_cast<std::int64_t>(bytes)};
    gather.outer = 1;
    gather.shard_row_bytes = bytes;
    gather.output_row_bytes = size * bytes;

    Arguments a{};
    a.self = self;
    a.size = size;
    a.shard = shard_.get();
    a.output = output_.get();
    a.outer = 1;
    a.reciprocal = reciprocal_of(bytes);
    a.header = shm::make_header(gather, std::nullopt, std::nullopt);
    a.header.in_outbox = 0;
    a.layout = Layout::of(size);
    a.mapped = &mapped();
    a.timeout_ns = std::chrono::nanoseconds(5s).count();
    a.one_gpu = true;
    a.run = 1;
    for (int i = 0; i < size; ++i) {
      a.members[i] = {members[static_cast<std::size_t>(i)].control(), nullptr, 0};
    }
    Grid grid = choose_grid(size * bytes, size, most_blocks);
    grid.usual = is_usual(a, grid);
    if (kernels.launch(a, grid, stream_) != CUDA_SUCCESS) throw std::runtime_error("no launch");
  }

  // How many bytes of the output are not the value of the member that they are from.
  std::size_t wrong(std::size_t bytes, const std::array<int, size>& values) const {
    require(cudaStreamSynchronize(stream_));
    std::vector<unsigned char> output(size * bytes);
    require(cudaMemcpy(output.data(), output_.get(), output.size(), cudaMemcpyDefault));
    std::size_t count = 0;
    for (std::size_t b = 0; b < output.size(); ++b) count += output[b] != values[b / bytes];
    return count;
  }

 private:
  cudaStream_t stream_ = nullptr;
  DeviceMemory control_ = device_memory(Layout::of(size).bytes());
  DeviceMemory shard_ = device_memory(longest);
  DeviceMemory output_ = device_memory(size * longest);
  PinnedMemory mapped_ = pinned_memory(Mapped::bytes(size));
};

class CallNumber : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_gpu()) GTEST_SKIP() << "no GPU here";
    require(kernels_.load(size));
  }

  void start() { members_ = std::make_unique<std::array<Member, size>>(); }

  // As if so many calls had ended. It never goes back.
  void set_calls(std::uint64_t calls) {
    for (Member& member : *members_) member.set_calls(calls);
  }

  // The calls around this one, by gathers of so many bytes.
  void renew_packets(std::uint64_t call, std::size_t bytes) {
    set_calls(call - 3);
    for (int k = 0; k < 4; ++k) gather(bytes);
  }

  // A gather that the last member comes to late, when the other has looked for its packets.
  void gather(std::size_t bytes) {
    ++value_;
    std::array<int, size> values;
    std::iota(values.begin(), values.end(), 16 * (value_ % 8));
    for (int i = 0; i < size; ++i) member(i).fill(bytes, values[static_cast<std::size_t>(i)]);
    for (int i = 0; i < size; ++i) {
      member(i).launch(kernels_, i, *members_, bytes);
      const auto due = std::chrono::steady_clock::now() + 50us;
      while (std::chrono::steady_clock::now() < due) {
      }
    }
    for (int i = 0; i < size; ++i) {
      EXPECT_EQ(member(i).wrong(bytes, values), 0U) << "of member " << i;
      EXPECT_EQ(member(i).mapped().reason, 0U) << "by member " << i;
    }
  }

 private:
  Member& member(int i) { return (*members_)[static_cast<std::size_t>(i)]; }

  Kernels kernels_;
  std::unique_ptr<std::array<Member, size>> members_;
  int value_ = 0;
};

TEST_F(CallNumber, IsNotTakenForThatOfFourThousandMillionCallsBefore) {
  for (const std::size_t between : {std::size_t{8}, std::size_t{7}, longest}) {
    for (const std::uint64_t first : {std::uint64_t{6}, std::uint64_t{7}}) {
      SCOPED_TRACE(std::to_string(between) + " bytes, call " + std::to_string(first));
      start();
      set_calls(first - 1);
      gather(packed);
      renew_packets(calls_a_renewal, between);
      renew_packets(2 * calls_a_renewal, between);
      set_calls(2 * calls_a_renewal + first - 1);
      gather(packed);
    }
  }
}

TEST_F(CallNumber, OfNoneIsNotTakenForThatOfMemoryNobodyHasWritten) {
  start();
  renew_packets(calls_a_renewal, 8);
  set_calls(2 * calls_a_renewal - 1);
  gather(packed);
}

}  // namespace
}  // namespace muster::transport::cuda

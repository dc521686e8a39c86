// What a layer costs in an engine: beside the bare call, and beside the way that people had before
// (gather on dimension 0, slices, concatenation). Two ranks as threads that share the GPU, graph
// replay, median of the slower rank.
//
//   tensorrt_timing [rounds]
#include "engine.h"
#include "gpu/gpu.h"
#include "ranks.h"
#include "support/require.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace muster::test {
namespace {

constexpr std::int64_t rows = 8, columns = 64128;
constexpr int ranks = 2;
constexpr int replays = 20;  // of one graph between two looks at the clock

// y = the whole, out of x, with an element-wise layer before and behind the gather, so that its
// tensors are the engine's own.
std::vector<char> engine_with(const std::function<nvinfer1::ITensor&(nvinfer1::INetworkDefinition&,
                                                                     nvinfer1::ITensor&)>& gather) {
  return built([&](auto& network, auto& config, auto&) {
    config.setFlag(nvinfer1::BuilderFlag::kFP16);
    auto& x = *network.addInput("x", nvinfer1::DataType::kHALF, nvinfer1::Dims2(rows, columns));
    auto& section = *network.addActivation(x, nvinfer1::ActivationType::kRELU)->getOutput(0);
    auto& whole = gather(network, section);
    auto& y = *network.addActivation(whole, nvinfer1::ActivationType::kRELU)->getOutput(0);
    make_output(network, y, "y");
    y.setType(nvinfer1::DataType::kHALF);
  });
}

nvinfer1::ITensor& gathered(nvinfer1::INetworkDefinition& network, nvinfer1::ITensor& section) {
  return tensorrt::all_gather(network, section, Group::range(ranks), -1);
}

nvinfer1::ITensor& gathered_and_concatenated(nvinfer1::INetworkDefinition& network,
                                             nvinfer1::ITensor& section) {
  auto& whole = tensorrt::all_gather(network, section, Group::range(ranks), 0);
  std::array<nvinfer1::ITensor*, ranks> parts{};
  for (int r = 0; r < ranks; ++r) {
    parts[static_cast<std::size_t>(r)] =
        network
            .addSlice(whole,
                      nvinfer1::Dims2(r * static_cast<int>(rows), 0),
                      nvinfer1::Dims2(rows, columns),
                      nvinfer1::Dims2(1, 1))
            ->getOutput(0);
  }
  auto& joined = *network.addConcatenation(parts.data(), ranks);
  joined.setAxis(1);
  return *joined.getOutput(0);
}

// The same network without its gather: each rank's own section twice.
nvinfer1::ITensor& doubled(nvinfer1::INetworkDefinition& network, nvinfer1::ITensor& section) {
  std::array<nvinfer1::ITensor*, ranks> parts{&section, &section};
  auto& joined = *network.addConcatenation(parts.data(), ranks);
  joined.setAxis(1);
  return *joined.getOutput(0);
}

void meet(World& world) {
  world.exchange(Group::range(world.size()), {});
}

// Microseconds of one replay, of the slower rank, in the median round.
double median_of(int rounds,
                 const std::function<std::function<void(cudaStream_t)>(World&)>& prepare) {
  std::vector<std::vector<double>> times(ranks,
                                         std::vector<double>(static_cast<std::size_t>(rounds)));
  as_ranks(ranks, [&](World& world) {
    const OwnStream stream;
    const auto work = prepare(world);
    meet(world);
    work(stream.get());
    stream.wait();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    require_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
    work(stream.get());
    require_cuda(cudaStreamEndCapture(stream.get(), &graph));
    require_cuda(cudaGraphInstantiate(&executable, graph, 0));
    require_cuda(cudaGraphUpload(executable, stream.get()));
    stream.wait();
    std::array<cudaEvent_t, 2> events{};
    for (auto& event : events) require_cuda(cudaEventCreate(&event));
    for (int round = 0; round < rounds; ++round) {
      meet(world);
      require_cuda(cudaGraphLaunch(executable, stream.get()));
      require_cuda(cudaEventRecord(events[0], stream.get()));
      for (int i = 0; i < replays; ++i) require_cuda(cudaGraphLaunch(executable, stream.get()));
      require_cuda(cudaEventRecord(events[1], stream.get()));
      stream.wait();
      float milliseconds = 0;
      require_cuda(cudaEventElapsedTime(&milliseconds, events[0], events[1]));
      times[static_cast<std::size_t>(world.rank())][static_cast<std::size_t>(round)] =
          1000.0 * milliseconds / replays;
    }
    tensorrt::check();
    meet(world);
  });
  for (std::size_t i = 0; i < times[0].size(); ++i)
    times[0][i] = std::max(times[0][i], times[1][i]);
  std::ranges::sort(times[0]);
  return times[0][times[0].size() / 2];
}

constexpr std::size_t section_bytes = rows * columns * 2;

// One run of an engine; with an arena, its own tensors lie there.
double engine_time(int rounds, const std::vector<char>& engine, bool arena) {
  return median_of(rounds, [&](World& world) {
    struct State {
      std::unique_ptr<nvinfer1::IGpuAllocator> allocator;
      std::unique_ptr<Context> context;
      Buffer x, y;
    };
    auto state = std::make_shared<State>();
    if (arena)
      state->allocator = tensorrt::arena_allocator(tensorrt::current_world(), Device::cuda(0));
    state->context = std::make_unique<Context>(engine, state->allocator.get());
    state->x = world.allocate(section_bytes, Device::cuda(0));
    state->y = world.allocate(ranks * section_bytes, Device::cuda(0));
    state->context->set_address("x", state->x.data());
    state->context->set_address("y", state->y.data());
    return [state](cudaStream_t stream) {
      require(state->context->enqueue(stream), "refused: " + engine_log().take());
    };
  });
}

double bare_time(int rounds, bool arena) {
  return median_of(rounds, [&](World& world) {
    struct State {
      State(World& world_, bool in_arena)
          : communicator(world_, Group::range(ranks), {.device = Device::cuda(0)}) {
        if (in_arena) {
          buffers = {world_.allocate(section_bytes, Device::cuda(0)),
                     world_.allocate(ranks * section_bytes, Device::cuda(0))};
          x = buffers[0].data();
          y = buffers[1].data();
        } else {
          require_cuda(cudaMalloc(&x, section_bytes));
          require_cuda(cudaMalloc(&y, ranks * section_bytes));
        }
      }
      Communicator communicator;
      std::array<Buffer, 2> buffers;
      void* x = nullptr;
      void* y = nullptr;
    };
    auto state = std::make_shared<State>(world, arena);
    return [state](cudaStream_t stream) {
      state->communicator.all_gather({state->x, DataType::float16, {rows, columns}},
                                     {state->y, DataType::float16, {rows, ranks * columns}},
                                     -1,
                                     Stream(stream));
    };
  });
}

void measure(int rounds) {
  const auto layer = engine_with(gathered);
  const auto old_way = engine_with(gathered_and_concatenated);
  const auto without = engine_with(doubled);
  fmt::print(
      "{} x {} float16 a rank, last dimension, {} ranks on one GPU, {} rounds of {} replays\n",
      rows,
      columns,
      ranks,
      rounds,
      replays);
  for (const bool arena : {true, false}) {
    const double with = engine_time(rounds, layer, arena);
    const double old = engine_time(rounds, old_way, arena);
    const double bare = bare_time(rounds, arena);
    fmt::print(
        "tensors {}: engine with the layer {:.1f} us; with gather on dimension 0, slices and "
        "concatenation {:.1f} us ({:.2f} x); bare call {:.1f} us\n",
        arena ? "in the arena" : "private",
        with,
        old,
        old / with,
        bare);
  }
  const double rest = engine_time(rounds, without, true);
  fmt::print("the same engine with a concatenation of two own sections for the gather: {:.1f} us\n",
             rest);
}

}  // namespace
}  // namespace muster::test

int main(int argc, char** argv) {
  if (!muster::test::have_gpu()) {
    fmt::print("no GPU here\n");
    return 1;
  }
  try {
    muster::test::measure(argc > 1 ? std::atoi(argv[1]) : 51);
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    return 1;
  }
}

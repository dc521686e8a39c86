// What a layer costs in an engine: beside the bare call, and beside the way that people had before
// (gather on dimension 0, slices, concatenation). Two ranks as threads that share the GPU, graph
// replay, median of the slower rank; the three in turn, with memory and communicators that are made
// anew each time, and the median of the turns.
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
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace muster::test {
namespace {

constexpr std::int64_t rows = 8, columns = 64128;
constexpr int ranks = 2;
constexpr int turns = 5;
constexpr int replays = 20;        // of one graph between two looks at the clock
constexpr int few = 1, many = 17;  // gathers in a graph: the difference counts

std::string output_name(int i) {
  return fmt::format("y{}", i);
}

using MakeWhole =
    std::function<nvinfer1::ITensor&(nvinfer1::INetworkDefinition&, nvinfer1::ITensor&)>;

// y0, y1, ... = the whole, `count` times, each by a layer of its own, out of a section that the
// engine has written.
std::vector<char> engine_with(int count, const MakeWhole& make_whole) {
  return built([&](auto& network, auto& config, auto&) {
    config.setFlag(nvinfer1::BuilderFlag::kFP16);
    config.setMaxAuxStreams(0);  // one layer after the other, as the bare calls
    auto& x = *network.addInput("x", nvinfer1::DataType::kHALF, nvinfer1::Dims2(rows, columns));
    auto& section = *network.addActivation(x, nvinfer1::ActivationType::kRELU)->getOutput(0);
    for (int i = 0; i < count; ++i) {
      auto& whole = make_whole(network, section);
      make_output(network, whole, output_name(i).c_str());
      whole.setType(nvinfer1::DataType::kHALF);
    }
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

void meet(World& world) {
  world.exchange(Group::range(world.size()), {});
}

// Microseconds of one replay, of the slower rank, in the median round.
double median_of(
    int rounds,
    const std::function<std::function<void(cudaStream_t)>(World&, const OwnStream&)>& prepare) {
  std::vector<std::vector<double>> times(ranks,
                                         std::vector<double>(static_cast<std::size_t>(rounds)));
  as_ranks(ranks, [&](World& world) {
    const OwnStream stream;
    const auto work = prepare(world, stream);
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

std::vector<Buffer> outputs(World& world, int count) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < count; ++i)
    buffers.push_back(world.allocate(ranks * section_bytes, Device::cuda(0)));
  return buffers;
}

// One run of an engine with so many gathers. Their outputs lie in the arena; with `arena` the
// engine's own tensors too.
double engine_time(int rounds, const std::vector<char>& engine, int count, bool arena) {
  return median_of(rounds, [&](World& world, const OwnStream& stream) {
    struct State {
      std::unique_ptr<nvinfer1::IGpuAllocator> allocator;
      std::unique_ptr<Context> context;
      Buffer x;
      std::vector<Buffer> y;
    };
    auto state = std::make_shared<State>();
    if (arena)
      state->allocator = tensorrt::arena_allocator(tensorrt::current_world(), Device::cuda(0));
    state->context = std::make_unique<Context>(engine, state->allocator.get());
    state->x = world.allocate(section_bytes, Device::cuda(0));
    state->y = outputs(world, count);
    state->context->set_address("x", state->x.data());
    for (int i = 0; i < count; ++i)
      state->context->set_address(output_name(i).c_str(),
                                  state->y[static_cast<std::size_t>(i)].data());
    const auto enqueue = [state](cudaStream_t on) {
      require(state->context->enqueue(on), "refused: " + engine_log().take());
    };
    meet(world);
    enqueue(stream.get());  // an engine's first run is not for a graph
    stream.wait();
    return enqueue;
  });
}

// So many bare calls, with the section in the arena or not.
double bare_time(int rounds, int count, bool arena) {
  return median_of(rounds, [&](World& world, const OwnStream&) {
    struct State {
      State(World& world_, int count_, bool in_arena)
          : communicator(world_, Group::range(ranks), {.device = Device::cuda(0)}),
            y(outputs(world_, count_)) {
        if (in_arena) {
          buffer = world_.allocate(section_bytes, Device::cuda(0));
          x = buffer.data();
        } else {
          require_cuda(cudaMalloc(&x, section_bytes));
          ordinary.reset(x, cudaFree);
        }
      }
      Communicator communicator;
      std::vector<Buffer> y;
      Buffer buffer;
      std::shared_ptr<void> ordinary;
      void* x = nullptr;
    };
    auto state = std::make_shared<State>(world, count, arena);
    return [state](cudaStream_t stream) {
      for (const Buffer& y : state->y)
        state->communicator.all_gather({state->x, DataType::float16, {rows, columns}},
                                       {y.data(), DataType::float16, {rows, ranks * columns}},
                                       -1,
                                       Stream(stream));
    };
  });
}

// Of one more gather in a graph.
double cost(const char* what, const std::function<double(int)>& time_with) {
  const auto time = [&](int count) {
    try {
      return time_with(count);
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("{} x {}: {}", count, what, error.what()));
    }
  };
  return (time(many) - time(few)) / (many - few);
}

// Of a few measurements.
struct Spread {
  std::vector<double> values;

  void add(double value) { values.insert(std::ranges::upper_bound(values, value), value); }
  double median() const { return values[values.size() / 2]; }
  std::string text() const {
    return fmt::format("{:.2f} us ({:.2f} to {:.2f})", median(), values.front(), values.back());
  }
};

void measure(int rounds) {
  std::map<int, std::vector<char>> layer, old_way;
  for (const int count : {few, many}) {
    layer[count] = engine_with(count, gathered);
    old_way[count] = engine_with(count, gathered_and_concatenated);
  }
  fmt::print(
      "{} x {} float16 a rank, last dimension, {} ranks on one GPU, {} turns of {} rounds of {} "
      "replays;\nwhat a gather adds to a graph: ({} gathers - {}) / {}\n",
      rows,
      columns,
      ranks,
      turns,
      rounds,
      replays,
      many,
      few,
      many - few);
  for (const bool arena : {true, false}) {
    const auto engine = [&](const auto& engines) {
      return [&](int n) { return engine_time(rounds, engines.at(n), n, arena); };
    };
    Spread with, old, bare;
    for (int turn = 0; turn < turns; ++turn) {
      with.add(cost("the layer", engine(layer)));
      old.add(cost("the old way", engine(old_way)));
      bare.add(cost("the bare call", [&](int n) { return bare_time(rounds, n, arena); }));
    }
    fmt::print(
        "section {}: layer {}, bare call {}: {:.2f} x; gather on dimension 0, slices and "
        "concatenation {}: {:.2f} x the layer\n",
        arena ? "in the arena" : "private",
        with.text(),
        bare.text(),
        with.median() / bare.median(),
        old.text(),
        old.median() / with.median());
  }
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

// The layer in TensorRT itself, on a GPU that the ranks share.
#include "engine.h"
#include "gpu/gpu.h"
#include "ranks.h"
#include "support/errors.h"
#include "support/job.h"
#include "support/require.h"
#include "support/role.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <numeric>
#include <optional>
#include <utility>

namespace muster::test {
namespace {

using namespace std::chrono_literals;
using nvinfer1::Dims;
using ::testing::HasSubstr;

Dims dims_of(const Shape& shape) {
  Dims dims{};
  dims.nbDims = shape.dimensions();
  for (int i = 0; i < dims.nbDims; ++i) dims.d[i] = static_cast<std::int32_t>(shape[i]);
  return dims;
}

struct Gather {
  nvinfer1::DataType type = nvinfer1::DataType::kFLOAT;
  DataType dtype = DataType::float32;
  int gather_dim = 0;
  int ranks = 2;
  tensorrt::AllGatherOptions options{.timeout = 20s};

  Shape whole(const Shape& section) const {
    const int dim = section.normalized(gather_dim);
    return section.with(dim, ranks * section[dim]);
  }
};

// The shapes of one optimization profile.
struct Shapes {
  Shape least, most;
};

// x -> AllGather -> y, with an optimization profile for each range of shapes.
std::vector<char> engine_of(const Gather& gather, const std::vector<Shapes>& profiles) {
  return built([&](auto& network, auto& config, auto& builder) {
    Dims dims = dims_of(profiles.front().least);
    for (const auto& [least, most] : profiles) {
      for (int i = 0; i < dims.nbDims; ++i) {
        if (least[i] != dims.d[i] || most[i] != dims.d[i]) dims.d[i] = -1;
      }
    }
    nvinfer1::ITensor& x = *network.addInput("x", gather.type, dims);
    const bool quantized = gather.type == nvinfer1::DataType::kINT8;
    if (quantized) x.setDynamicRange(-127, 127);
    if (quantized) config.setFlag(nvinfer1::BuilderFlag::kINT8);
    if (gather.type == nvinfer1::DataType::kHALF) config.setFlag(nvinfer1::BuilderFlag::kFP16);
    nvinfer1::ITensor& y = tensorrt::all_gather(
        network, x, Group::range(gather.ranks), gather.gather_dim, gather.options);
    make_output(network, y, "y");
    y.setType(gather.type);
    for (const auto& [least, most] : profiles) {
      nvinfer1::IOptimizationProfile& profile = *builder.createOptimizationProfile();
      profile.setDimensions("x", nvinfer1::OptProfileSelector::kMIN, dims_of(least));
      profile.setDimensions("x", nvinfer1::OptProfileSelector::kOPT, dims_of(most));
      profile.setDimensions("x", nvinfer1::OptProfileSelector::kMAX, dims_of(most));
      config.addOptimizationProfile(&profile);
    }
  });
}

std::vector<char> engine_of(const Gather& gather, const Shape& shape) {
  return engine_of(gather, {{shape, shape}});
}

// Small numbers, which no type changes: a float's bytes are as good as any.
std::vector<std::uint8_t> section_of(const Gather& gather,
                                     const Shape& shape,
                                     int rank,
                                     int round) {
  std::vector<std::uint8_t> bytes(rows_of(shape, gather.dtype, gather.gather_dim).bytes());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] =
        static_cast<std::uint8_t>((i * 7 + static_cast<std::size_t>(31 * rank + 11 * round)) % 63);
  }
  return bytes;
}

std::vector<std::uint8_t> whole_of(const Gather& gather, const Shape& shape, int round) {
  const Rows rows = rows_of(shape, gather.dtype, gather.gather_dim);
  std::vector<std::uint8_t> whole;
  for (std::size_t row = 0; row < rows.outer; ++row) {
    for (int rank = 0; rank < gather.ranks; ++rank) {
      const auto section = section_of(gather, shape, rank, round);
      const auto begin = section.begin() + static_cast<std::ptrdiff_t>(row * rows.row_bytes);
      whole.insert(whole.end(), begin, begin + static_cast<std::ptrdiff_t>(rows.row_bytes));
    }
  }
  return whole;
}

// Ranks that share a GPU prepare everything, meet, and then run: what one of them allocates may
// wait for the kernel of another that waits for it.
void meet(World& world) {
  world.exchange(Group::range(world.size()), {});
}

// A context with input and output in Buffers of one shape.
class EngineRun {
 public:
  EngineRun(World& world, const Gather& gather, const std::vector<char>& engine, const Shape& shape)
      : world_(world), gather_(gather), context_(engine) {
    reshape(shape);
  }

  // In one more context of another run's engine, with a profile where shapes vary.
  EngineRun(const EngineRun& other, std::optional<int> profile, const Shape& shape)
      : world_(other.world_), gather_(other.gather_), context_(other.context_.another()) {
    if (profile) context_.use_profile(*profile, stream_.get());
    reshape(shape);
  }

  void use_profile(int profile, const Shape& shape) {
    context_.use_profile(profile, stream_.get());
    reshape(shape);
  }

  void reshape(const Shape& shape) {
    shape_ = shape;
    x_ =
        world_.allocate(rows_of(shape, gather_.dtype, gather_.gather_dim).bytes(), Device::cuda(0));
    y_ = world_.allocate(x_.size() * static_cast<std::size_t>(gather_.ranks), Device::cuda(0));
    context_.set_shape("x", dims_of(shape));
    context_.set_address("x", x_.data());
    context_.set_address("y", y_.data());
  }

  void fill(int round) {
    const auto bytes = section_of(gather_, shape_, world_.rank(), round);
    require_cuda(cudaMemcpyAsync(
        x_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream_.get()));
    require_cuda(cudaMemsetAsync(y_.data(), 0xee, y_.size(), stream_.get()));
    stream_.wait();
  }

  bool enqueue() { return context_.enqueue(stream_.get()); }

  void expect(int round) {
    stream_.wait();
    tensorrt::check();
    std::vector<std::uint8_t> seen(y_.size());
    require_cuda(cudaMemcpyAsync(
        seen.data(), y_.data(), seen.size(), cudaMemcpyDeviceToHost, stream_.get()));
    stream_.wait();
    require(seen == whole_of(gather_, shape_, round), "the output is wrong");
  }

  void run(int round) {
    fill(round);
    meet(world_);
    require(enqueue(), "the run is refused: " + engine_log().take());
    expect(round);
  }

  const OwnStream& stream() const { return stream_; }

 private:
  World& world_;
  Gather gather_;
  Context context_;
  OwnStream stream_;
  Shape shape_;
  Buffer x_, y_;
};

class TensorRTEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_gpu()) GTEST_SKIP() << "no GPU here";
    engine_log().take();
  }
};

class TensorRTEngineOfRanks : public TensorRTEngine, public ::testing::WithParamInterface<int> {};

TEST_P(TensorRTEngineOfRanks, GathersEachTypeAlongEachDimension) {
  using nvinfer1::DataType;
  const std::pair<DataType, muster::DataType> types[] = {
      {DataType::kFLOAT, muster::DataType::float32},
      {DataType::kHALF, muster::DataType::float16},
      {DataType::kINT8, muster::DataType::int8},
      {DataType::kINT32, muster::DataType::int32}};
  for (const auto& [type, dtype] : types) {
    for (const int dim : {0, 1, -1}) {
      SCOPED_TRACE(std::string(to_string(dtype)) + " along " + std::to_string(dim));
      const Gather gather{.type = type, .dtype = dtype, .gather_dim = dim, .ranks = GetParam()};
      const Shape shape{3, 5, 8};
      const auto engine = engine_of(gather, shape);
      as_ranks(GetParam(), [&](World& world) {
        EngineRun run(world, gather, engine, shape);
        for (int round = 0; round < 3; ++round) run.run(round);
        meet(world);
      });
    }
  }
}

TEST_P(TensorRTEngineOfRanks, TakesDynamicShapes) {
  const Gather gather{.gather_dim = -1, .ranks = GetParam()};
  const auto engine = engine_of(gather, {{{1, 2, 4}, {8, 16, 64}}});
  as_ranks(GetParam(), [&](World& world) {
    EngineRun run(world, gather, engine, {2, 3, 4});
    run.run(0);
    int round = 1;
    for (const Shape& shape : {Shape{8, 16, 64}, Shape{1, 2, 4}, Shape{5, 7, 33}}) {
      meet(world);
      run.reshape(shape);
      meet(world);
      run.run(round++);
    }
    meet(world);
  });
}

// As for single tokens and for prompts.
const std::vector<Shapes> tokens_and_prompts{{{1, 4}, {2, 64}}, {{16, 4}, {128, 64}}};

TEST_P(TensorRTEngineOfRanks, GathersInAContextForEachProfile) {
  const Gather gather{.gather_dim = -1, .ranks = GetParam()};
  const auto engine = engine_of(gather, tokens_and_prompts);
  as_ranks(GetParam(), [&](World& world) {
    EngineRun tokens(world, gather, engine, {1, 48});
    EngineRun prompts(tokens, 1, {100, 40});
    for (int round = 0; round < 3; ++round) {
      tokens.run(round);
      meet(world);
      prompts.run(round + 1);
      meet(world);
    }
  });
}

TEST_P(TensorRTEngineOfRanks, GathersWhenAContextChangesItsProfile) {
  const Gather gather{.gather_dim = -1, .ranks = GetParam()};
  const auto engine = engine_of(gather, tokens_and_prompts);
  as_ranks(GetParam(), [&](World& world) {
    EngineRun run(world, gather, engine, {1, 48});
    run.run(0);
    int round = 1;
    for (const auto& [profile, shape] :
         std::initializer_list<std::pair<int, Shape>>{{1, {100, 40}}, {1, {16, 4}}, {0, {2, 5}}}) {
      meet(world);
      run.use_profile(profile, shape);
      meet(world);
      run.run(round++);
    }
    meet(world);
  });
}

TEST_P(TensorRTEngineOfRanks, IsCapturedInAGraph) {
  const Gather gather{.gather_dim = 1, .ranks = GetParam()};
  const auto engine = engine_of(gather, {3, 40, 8});
  as_ranks(GetParam(), [&](World& world) {
    EngineRun run(world, gather, engine, {3, 40, 8});
    run.run(0);  // as TensorRT demands before capture
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    require_cuda(cudaStreamBeginCapture(run.stream().get(), cudaStreamCaptureModeThreadLocal));
    require(run.enqueue(), "the run is not captured: " + engine_log().take());
    require_cuda(cudaStreamEndCapture(run.stream().get(), &graph));
    require_cuda(cudaGraphInstantiate(&executable, graph, 0));
    require_cuda(cudaGraphUpload(executable, run.stream().get()));
    run.stream().wait();
    for (int round = 1; round < 20; ++round) {
      run.fill(round);
      meet(world);
      require_cuda(cudaGraphLaunch(executable, run.stream().get()));
      run.expect(round);
    }
    meet(world);
    require_cuda(cudaGraphExecDestroy(executable));
    require_cuda(cudaGraphDestroy(graph));
  });
}

TEST_P(TensorRTEngineOfRanks, HasLayersOfItsOwnInEachContext) {
  const Gather gather{.ranks = GetParam()};
  const Shape shape{3, 5};
  const auto engine = engine_of(gather, shape);
  as_ranks(GetParam(), [&](World& world) {
    EngineRun first(world, gather, engine, shape);
    EngineRun second(first, std::nullopt, shape);
    first.run(1);
    meet(world);
    second.run(2);
    meet(world);
    first.run(3);
    meet(world);
  });
}

// Rank 0 runs two contexts in turn where the others run one: they meet only if the two are one to
// their peers.
TEST_P(TensorRTEngineOfRanks, SharesACommunicatorBetweenContextsIfItIsToldTo) {
  Gather gather{.ranks = GetParam()};
  gather.options.share_communicator = true;
  const Shape shape{3, 5};
  const auto engine = engine_of(gather, shape);
  as_ranks(GetParam(), [&](World& world) {
    std::optional<EngineRun> first(std::in_place, world, gather, engine, shape);
    std::optional<EngineRun> second;
    if (world.rank() == 0) second.emplace(*first, std::nullopt, shape);
    for (int round = 0; round < 4; ++round) {
      (second && round % 2 == 1 ? *second : *first).run(round);
      meet(world);
    }
    if (second) first.reset();  // the other still has the communicator
    (second ? *second : *first).run(4);
    meet(world);
  });
}

INSTANTIATE_TEST_SUITE_P(, TensorRTEngineOfRanks, ::testing::Values(2, 4));

// For processes: the engine comes from the one that started them, through a file.
void run_engine_file(const std::string& path) {
  if (!have_gpu()) throw std::runtime_error("no GPU");
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> engine{std::istreambuf_iterator<char>(file), {}};
  const std::shared_ptr<World> world = tensorrt::current_world();
  require(initLibMusterPlugins(&engine_log(), nullptr), "the creators are not registered");
  const Gather gather{.gather_dim = -1, .ranks = world->size()};
  EngineRun run(*world, gather, engine, {3, 5, 8});
  for (int round = 0; round < 3; ++round) run.run(round);
  meet(*world);
}

const RegisteredRole engine_file_role("tensorrt_engine_file", run_engine_file);

TEST_P(TensorRTEngineOfRanks, RunsInOtherProcessesThanTheOneThatSerializedIt) {
  const auto engine = engine_of({.gather_dim = -1, .ranks = GetParam()}, {3, 5, 8});
  const RendezvousDirectory directory;
  const std::string path = directory.path() + "/engine";
  std::ofstream(path, std::ios::binary)
      .write(engine.data(), static_cast<std::streamsize>(engine.size()));
  Job job(GetParam(), "tensorrt_engine_file", path);
  EXPECT_EQ(job.wait(Clock::now() + 100s), "");
  std::remove(path.c_str());
}

TEST_F(TensorRTEngine, CastsToTheWireTypeAndBack) {
  const Gather gather{.ranks = 2, .options = {.wire_type = DataType::float16, .timeout = 20s}};
  const auto engine = built([&](auto& network, auto& config, auto&) {
    config.setFlag(nvinfer1::BuilderFlag::kFP16);
    auto& x = *network.addInput("x", nvinfer1::DataType::kFLOAT, dims_of({4}));
    make_output(network, tensorrt::all_gather(network, x, Group{0, 1}, 0, gather.options), "y");
  });
  as_ranks(2, [&](World& world) {
    Context context(engine);
    const OwnStream stream;
    const Buffer x = world.allocate(4 * sizeof(float), Device::cuda(0));
    const Buffer y = world.allocate(8 * sizeof(float), Device::cuda(0));
    const auto r = static_cast<float>(world.rank());
    const std::vector<float> mine{r, r + 0.5F, r + 0.25F, 1.0F / 3};
    require_cuda(
        cudaMemcpyAsync(x.data(), mine.data(), x.size(), cudaMemcpyHostToDevice, stream.get()));
    context.set_address("x", x.data());
    context.set_address("y", y.data());
    stream.wait();
    meet(world);
    require(context.enqueue(stream.get()), "the run is refused: " + engine_log().take());
    stream.wait();
    std::vector<float> seen(8);
    require_cuda(
        cudaMemcpyAsync(seen.data(), y.data(), y.size(), cudaMemcpyDeviceToHost, stream.get()));
    stream.wait();
    const float third = 0.333251953125F;  // the nearest of float16
    require(seen == std::vector<float>{0, 0.5F, 0.25F, third, 1, 1.5F, 1.25F, third},
            "the output is wrong");
    meet(world);
  });
}

TEST_F(TensorRTEngine, TellsBothRanksOfDifferentShapesAndGoesOnLiving) {
  const Gather gather{.gather_dim = 0};
  const auto engine = engine_of(gather, {{{2, 4}, {2, 64}}});
  as_ranks(2, [&](World& world) {
    EngineRun run(world, gather, engine, {2, world.rank() == 0 ? 8 : 9});
    run.fill(0);
    meet(world);
    const bool accepted = run.enqueue();
    cudaStreamSynchronize(run.stream().get());
    require_error(ErrorCode::mismatch, "the gather", [&] {
      if (!accepted) throw Error(ErrorCode::mismatch, "found before it was enqueued");
      tensorrt::check();
    });
    require(!run.enqueue(), "a failed layer runs");
  });
  EXPECT_THAT(engine_log().take(),
              AllOf(HasSubstr("AllGather layer 'x/AllGather'"), HasSubstr("mismatch")));
}

TEST_F(TensorRTEngine, ReportsARankThatHasLeft) {
  const Gather gather{.options = {.timeout = 3s}};
  const auto engine = engine_of(gather, {2, 4});
  as_ranks(2, [&](World& world) {
    EngineRun run(world, gather, engine, {2, 4});
    run.run(0);
    meet(world);
    if (world.rank() == 1) return;
    run.fill(1);
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (!run.enqueue()) break;
      cudaStreamSynchronize(run.stream().get());
    }
    // Destroying a context may wait for the device, and so for this rank's kernel: then it is late.
    const Error error = thrown_by([] { tensorrt::check(); });
    require(error.code() == ErrorCode::peer_lost || error.code() == ErrorCode::timeout,
            described(error));
    require_peer(error, 1);
    require(!run.enqueue(), "a failed layer runs");
  });
  EXPECT_THAT(engine_log().take(), HasSubstr("rank 1"));
}

TEST_F(TensorRTEngine, SaysHowToLaunchWhereNobodyHas) {
  const Gather gather;
  const auto engine = engine_of(gather, {2, 4});
  std::vector<World> worlds = World::threads(1);
  const auto world = std::make_shared<World>(std::move(worlds[0]));
  tensorrt::use_world(world);
  EngineRun run(*world, gather, engine, {2, 4});
  run.fill(0);
  EXPECT_FALSE(run.enqueue());
  EXPECT_THAT(engine_log().take(), HasSubstr("muster run -n N"));
  tensorrt::use_world(nullptr);
}

// Half and float: the builder times the layer with each, which must not be taken for a run.
TEST_F(TensorRTEngine, TellsThatAnEngineWasNeverSerialized) {
  const auto engine = built_only([](auto& network, auto& config, auto&) {
    config.setFlag(nvinfer1::BuilderFlag::kFP16);
    auto& x = *network.addInput("x", nvinfer1::DataType::kFLOAT, dims_of({2, 4}));
    auto& section = *network.addActivation(x, nvinfer1::ActivationType::kRELU)->getOutput(0);
    make_output(network, tensorrt::all_gather(network, section, Group{0}), "y");
  });
  engine_log().take();
  const std::unique_ptr<nvinfer1::IExecutionContext> context(engine->createExecutionContext());
  ASSERT_NE(context, nullptr);
  std::vector<World> worlds = World::threads(1);
  const Buffer memory = worlds[0].allocate(std::size_t{2 * 8} * sizeof(float), Device::cuda(0));
  context->setTensorAddress("x", memory.data());
  context->setTensorAddress("y", memory.data() + 8 * sizeof(float));
  const OwnStream stream;
  EXPECT_FALSE(context->enqueueV3(stream.get()));
  EXPECT_THAT(engine_log().take(), HasSubstr("has been serialized and deserialized"));
}

TEST_F(TensorRTEngine, RefusesToBuildWhatTheLayerCannotDo) {
  const Error error = require_error(ErrorCode::invalid_argument, "all_gather", [] {
    engine_of({.gather_dim = 2}, {3, 4});
  });
  EXPECT_THAT(error.what(), HasSubstr("all_gather of tensor \"x\": gather_dim 2 is outside"));
  const Error type = require_error(ErrorCode::invalid_argument, "all_gather", [] {
    engine_of({.type = nvinfer1::DataType::kBOOL, .dtype = DataType::bool8}, {3, 4});
  });
  EXPECT_THAT(type.what(), HasSubstr("take no bool8; cast it"));
}

}  // namespace
}  // namespace muster::test

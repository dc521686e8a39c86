// The plugin for TensorRT 10 and later, through the life that TensorRT's documentation gives it.
// TensorRT itself is not here: its part is played by this test.
#include "expressions.h"
#include "gpu/gpu.h"
#include "ranks.h"
#include "support/require.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <numeric>

extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count);

namespace muster::test {
namespace {

using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;
using nvinfer1::TensorRTPhase;
using ::testing::HasSubstr;
using TrtType = nvinfer1::DataType;

// Keeps the texts of errors.
class Recorder final : public nvinfer1::IErrorRecorder {
 public:
  std::int32_t getNbErrors() const noexcept override { return errors_; }
  nvinfer1::ErrorCode getErrorCode(std::int32_t) const noexcept override { return code_; }
  const char* getErrorDesc(std::int32_t) const noexcept override { return text_.c_str(); }
  bool hasOverflowed() const noexcept override { return false; }
  void clear() noexcept override { errors_ = 0; }
  bool reportError(nvinfer1::ErrorCode code, const char* text) noexcept override {
    ++errors_;
    code_ = code;
    text_ = text;
    return true;
  }
  std::int32_t incRefCount() noexcept override { return 1; }
  std::int32_t decRefCount() noexcept override { return 1; }

  const std::string& text() const { return text_; }

 private:
  std::int32_t errors_ = 0;
  nvinfer1::ErrorCode code_ = nvinfer1::ErrorCode::kSUCCESS;
  std::string text_;
};

class ContextResources final : public nvinfer1::IPluginResourceContext {
 public:
  explicit ContextResources(Recorder& recorder) : recorder_(recorder) {}
  ~ContextResources() noexcept override = default;
  nvinfer1::IGpuAllocator* getGpuAllocator() const noexcept override { return nullptr; }
  nvinfer1::IErrorRecorder* getErrorRecorder() const noexcept override { return &recorder_; }

 private:
  Recorder& recorder_;
};

using Plugin = std::unique_ptr<nvinfer1::IPluginV3>;

nvinfer1::IPluginCreatorV3One& creator(const std::string& plugin_namespace = "muster") {
  std::int32_t count = 0;
  nvinfer1::IPluginCreatorInterface* const* creators = getCreators(count);
  for (std::int32_t i = 0; i < count; ++i) {
    auto& each = static_cast<nvinfer1::IPluginCreatorV3One&>(*creators[i]);
    if (plugin_namespace == each.getPluginNamespace()) return each;
  }
  throw std::logic_error("no creator in " + plugin_namespace);
}

Plugin created(const std::vector<std::int32_t>& group,
               std::int32_t gather_dim,
               std::int32_t share_communicator = 0) {
  constexpr auto int32 = nvinfer1::PluginFieldType::kINT32;
  const std::array fields{
      nvinfer1::PluginField("group", group.data(), int32, static_cast<std::int32_t>(group.size())),
      nvinfer1::PluginField("gather_dim", &gather_dim, int32, 1),
      nvinfer1::PluginField("share_communicator", &share_communicator, int32, 1)};
  const nvinfer1::PluginFieldCollection collection{3, fields.data()};
  return Plugin(creator().createPlugin("logits", &collection, TensorRTPhase::kBUILD));
}

template <typename Capability>
Capability& capability(const Plugin& plugin, nvinfer1::PluginCapabilityType type) {
  return *static_cast<Capability*>(plugin->getCapabilityInterface(type));
}

nvinfer1::IPluginV3OneBuild& build(const Plugin& plugin) {
  return capability<nvinfer1::IPluginV3OneBuild>(plugin, nvinfer1::PluginCapabilityType::kBUILD);
}

nvinfer1::IPluginV3OneRuntime& runtime(const Plugin& plugin) {
  return capability<nvinfer1::IPluginV3OneRuntime>(plugin,
                                                   nvinfer1::PluginCapabilityType::kRUNTIME);
}

// As an engine brings it back.
Plugin deserialized(const Plugin& plugin) {
  const nvinfer1::PluginFieldCollection* fields = runtime(plugin).getFieldsToSerialize();
  return Plugin(creator().createPlugin("layer", fields, TensorRTPhase::kRUNTIME));
}

PluginTensorDesc described(const Shape& shape, TrtType type = TrtType::kFLOAT) {
  PluginTensorDesc description{};
  description.dims.nbDims = shape.dimensions();
  for (int i = 0; i < shape.dimensions(); ++i) description.dims.d[i] = shape[i];
  description.type = type;
  description.format = TensorFormat::kLINEAR;
  return description;
}

TEST(TensorRTPluginV3, IsMadeInBothNamespaces) {
  for (const char* plugin_namespace : {"muster", "tensorrt_llm"}) {
    EXPECT_STREQ(creator(plugin_namespace).getPluginName(), "AllGather");
    EXPECT_STREQ(creator(plugin_namespace).getPluginVersion(), "1");
    EXPECT_EQ(creator(plugin_namespace).getFieldNames()->nbFields, 6);
  }
}

TEST(TensorRTPluginV3, IsNotMadeOfMalformedFields) {
  EXPECT_EQ(created({0, 0}, 0), nullptr);
  EXPECT_EQ(created({0, 1}, 8), nullptr);
  const nvinfer1::PluginFieldCollection none{0, nullptr};
  EXPECT_EQ(creator().createPlugin("layer", &none, TensorRTPhase::kBUILD), nullptr);
  EXPECT_EQ(creator().createPlugin("layer", &none, TensorRTPhase::kRUNTIME), nullptr);
}

TEST(TensorRTPluginV3, MultipliesOneExtentKnownOrNot) {
  const Plugin plugin = created({0, 1, 2}, -1);
  Expressions expressions;
  nvinfer1::DimsExprs section{2, {expressions.unknown(), expressions.unknown()}}, output{};
  EXPECT_EQ(build(plugin).getOutputShapes(&section, 1, nullptr, 0, &output, 1, expressions), 0);
  EXPECT_EQ(output.nbDims, 2);
  EXPECT_EQ(output.d[0], section.d[0]);
  EXPECT_EQ(static_cast<const Expression*>(output.d[1])->value(), 3);
  section.d[1] = expressions.known(5);
  EXPECT_EQ(build(plugin).getOutputShapes(&section, 1, nullptr, 0, &output, 1, expressions), 0);
  EXPECT_TRUE(output.d[1]->isConstant());
  EXPECT_EQ(output.d[1]->getConstantValue(), 15);
}

TEST(TensorRTPluginV3, RefusesADimensionThatTheTensorDoesNotHave) {
  const Plugin plugin = created({0, 1}, 2);
  Expressions expressions;
  const nvinfer1::DimsExprs section{1, {expressions.known(4)}};
  nvinfer1::DimsExprs output{};
  EXPECT_NE(build(plugin).getOutputShapes(&section, 1, nullptr, 0, &output, 1, expressions), 0);
}

// The interface has no plugins on bool and uint8.
TEST(TensorRTPluginV3, TakesEachTypeThatPluginsMayHaveInLinearFormatAndGivesTheSame) {
  const Plugin plugin = created({0, 1}, 0);
  for (std::int32_t number = 0; number < nvinfer1::EnumMax<TrtType>(); ++number) {
    const auto type = static_cast<TrtType>(number);
    std::array<DynamicPluginTensorDesc, 2> tensors{};
    for (auto& tensor : tensors) tensor.desc = described({2}, type);
    if (type == TrtType::kBOOL || type == TrtType::kUINT8) {
      EXPECT_FALSE(build(plugin).supportsFormatCombination(0, tensors.data(), 1, 1));
      continue;
    }
    EXPECT_TRUE(build(plugin).supportsFormatCombination(0, tensors.data(), 1, 1));
    EXPECT_TRUE(build(plugin).supportsFormatCombination(1, tensors.data(), 1, 1));
    tensors[1].desc.type = type == TrtType::kHALF ? TrtType::kFLOAT : TrtType::kHALF;
    EXPECT_FALSE(build(plugin).supportsFormatCombination(1, tensors.data(), 1, 1));
    tensors[0].desc.format = TensorFormat::kCHW32;
    EXPECT_FALSE(build(plugin).supportsFormatCombination(0, tensors.data(), 1, 1));
    TrtType output{};
    EXPECT_EQ(build(plugin).getOutputDataTypes(&output, 1, &type, 1), 0);
    EXPECT_EQ(output, type);
  }
}

TEST(TensorRTPluginV3, NeverCommunicatesWhileItIsBuilt) {
  const Plugin plugin = created({0, 1}, 0);
  Recorder recorder;
  ContextResources resources(recorder);
  const Plugin attached(runtime(plugin).attachToContext(&resources));
  const auto section = described({2}), whole = described({4});
  EXPECT_EQ(runtime(attached).onShapeChange(&section, 1, &whole, 1), 0);
  std::array<const void*, 1> inputs{};
  std::array<void*, 1> outputs{};
  EXPECT_EQ(
      runtime(attached).enqueue(&section, &whole, inputs.data(), outputs.data(), nullptr, nullptr),
      0);
  EXPECT_EQ(recorder.getNbErrors(), 0);
}

TEST(TensorRTPluginV3, IsTheSameAfterSerializationAndCloning) {
  const Plugin plugin = created({1, 0}, -1);
  const Plugin copy(deserialized(plugin)->clone());
  Expressions expressions;
  const nvinfer1::DimsExprs section{2, {expressions.known(4), expressions.known(5)}};
  nvinfer1::DimsExprs output{};
  EXPECT_EQ(build(copy).getOutputShapes(&section, 1, nullptr, 0, &output, 1, expressions), 0);
  EXPECT_EQ(output.d[1]->getConstantValue(), 10);
}

TEST(TensorRTPluginV3, GivesTheRecorderTheReasonWhyItDoesNotRun) {
  as_ranks(1, [](World&) {
    const Plugin plugin = deserialized(created({0, 1}, 0));
    Recorder recorder;
    ContextResources resources(recorder);
    const Plugin attached(runtime(plugin).attachToContext(&resources));
    if (attached) {  // there is a GPU
      const auto section = described({2}), whole = described({4});
      require(runtime(attached).onShapeChange(&section, 1, &whole, 1) != 0, "it meets nobody");
    }
    require(recorder.getNbErrors() == 1, "there is no error");
    require(recorder.text().find(attached ? "muster run -n N" : "there is no CUDA device") !=
                std::string::npos,
            recorder.text());
  });
}

// Section and output on a GPU, for contexts of one rank.
class GpuRun {
 public:
  explicit GpuRun(World& world)
      : world_(world),
        x_(world.allocate(15 * sizeof(float), Device::cuda(0))),
        y_(world.allocate(x_.size() * static_cast<std::size_t>(world.size()), Device::cuda(0))) {}

  // Everything is prepared before ranks that share a GPU meet, and run.
  void run(const Plugin& attached, const Recorder& recorder) {
    const auto section = described({3, 5}), whole = described({3, 5 * world_.size()});
    require(runtime(attached).onShapeChange(&section, 1, &whole, 1) == 0, recorder.text());
    std::vector<float> mine(15), seen(mine.size() * static_cast<std::size_t>(world_.size()));
    for (std::size_t i = 0; i < mine.size(); ++i) {
      mine[i] = static_cast<float>(100 * world_.rank() + static_cast<int>(i));
    }
    require_cuda(
        cudaMemcpyAsync(x_.data(), mine.data(), x_.size(), cudaMemcpyHostToDevice, stream_.get()));
    require_cuda(cudaMemsetAsync(y_.data(), 0xee, y_.size(), stream_.get()));
    stream_.wait();
    meet();
    const std::array<const void*, 1> inputs{x_.data()};
    const std::array<void*, 1> outputs{y_.data()};
    require(runtime(attached).enqueue(
                &section, &whole, inputs.data(), outputs.data(), nullptr, stream_.get()) == 0,
            recorder.text());
    require_cuda(
        cudaMemcpyAsync(seen.data(), y_.data(), y_.size(), cudaMemcpyDeviceToHost, stream_.get()));
    stream_.wait();
    tensorrt::check();
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const auto row = i / (5 * static_cast<std::size_t>(world_.size()));
      const auto column = i % (5 * static_cast<std::size_t>(world_.size()));
      require(seen[i] == static_cast<float>(100 * (column / 5) + 5 * row + column % 5),
              "the output is wrong");
    }
    meet();
  }

 private:
  void meet() { world_.exchange(Group::range(world_.size()), {}); }

  World& world_;
  OwnStream stream_;
  const Buffer x_, y_;
};

std::vector<std::int32_t> all_of(int ranks) {
  std::vector<std::int32_t> group(static_cast<std::size_t>(ranks));
  std::iota(group.begin(), group.end(), 0);
  return group;
}

TEST(TensorRTPluginV3, GathersOnAGpuFromItsContextsOnThatAreAttachedAndDetached) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  for (const int ranks : {2, 4}) {
    as_ranks(ranks, [&](World& world) {
      const Plugin plugin = deserialized(created(all_of(ranks), -1));
      Recorder recorder;
      ContextResources resources(recorder);
      GpuRun gpu(world);
      for (int context = 0; context < 3; ++context) {
        const Plugin attached(runtime(plugin).attachToContext(&resources));
        require(attached != nullptr, recorder.text());
        gpu.run(attached, recorder);
      }
    });
  }
}

// Rank 0 runs two contexts in turn where the other runs one: they meet only if the two are one to
// their peer.
TEST(TensorRTPluginV3, SharesACommunicatorThroughTheRegistryIfItIsToldTo) {
  if (!have_gpu()) GTEST_SKIP() << "no GPU here";
  as_ranks(2, [](World& world) {
    const Plugin plugin = deserialized(created(all_of(2), -1, 1));
    Recorder recorder;
    ContextResources resources(recorder);
    GpuRun gpu(world);
    const Plugin first(runtime(plugin).attachToContext(&resources));
    require(first != nullptr, recorder.text());
    const Plugin second(world.rank() == 0 ? runtime(plugin).attachToContext(&resources) : nullptr);
    for (int round = 0; round < 4; ++round) {
      gpu.run(second && round % 2 == 1 ? second : first, recorder);
    }
  });
}

}  // namespace
}  // namespace muster::test

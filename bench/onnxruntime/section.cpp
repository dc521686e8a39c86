// An operator that writes a section, and the bare call that a gather node is compared with.
//
// In a network an operator has just written the section that a node gathers, and memory that a core
// has just written is read more slowly than what it wrote long ago. So here both gather a section
// that was written in the same way a moment before, after a barrier, so that neither waits for the
// other rank's writing.
#include <muster/muster.h>
#include <muster/onnxruntime.h>
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace {

using Element = std::uint16_t;  // stands for bfloat16: a gather sees bytes only

struct Bench {
  muster::World world = muster::World::join();
  muster::Communicator barrier{world, muster::Group::range(world.size()), {.tag = "bench/barrier"}};
  muster::Communicator bare{world, muster::Group::range(world.size()), {.tag = "bench/bare"}};
  std::uint64_t nanoseconds_before = 0;  // in gather nodes, when the section had been written
};

Bench& bench() {
  static Bench& instance = *new Bench;  // the engine may outlive what is destroyed at exit
  return instance;
}

std::uint64_t nanoseconds_in_nodes() {
  MusterOnnxRuntimeStatistics statistics;
  muster_onnxruntime_statistics(&statistics);
  return statistics.nanoseconds;
}

void write(const Element* from, Element* section, std::size_t count) {
  std::transform(from, from + count, section, [](Element value) -> Element { return ~value; });
}

void wait_for_all() {
  const auto mine = static_cast<std::uint8_t>(bench().world.rank());
  std::uint8_t all[128];  // the most ranks of a world
  bench().barrier.all_gather({&mine, muster::DataType::uint8, {1}},
                             {all, muster::DataType::uint8, {bench().world.size()}},
                             0);
}

struct SectionKernel {
  void Compute(OrtKernelContext* context) const {
    const Ort::KernelContext engine(context);
    const Ort::ConstValue x = engine.GetInput(0);
    const auto shape = x.GetTensorTypeAndShapeInfo().GetShape();
    Ort::UnownedValue section = engine.GetOutput(0, shape);
    write(x.GetTensorData<Element>(),
          section.GetTensorMutableData<Element>(),
          x.GetTensorTypeAndShapeInfo().GetElementCount());
    wait_for_all();
    bench().nanoseconds_before = nanoseconds_in_nodes();
  }
};

struct SectionOp : Ort::CustomOpBase<SectionOp, SectionKernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo*) const { return new SectionKernel; }
  const char* GetName() const { return "Section"; }
  std::size_t GetInputTypeCount() const { return 1; }
  std::size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetInputType(std::size_t) const { return type; }
  ONNXTensorElementDataType GetOutputType(std::size_t) const { return type; }

  static constexpr auto type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16;
};

}  // namespace

extern "C" {

OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  Ort::InitApi(base->GetApi(ORT_API_VERSION));
  static const SectionOp op;
  static Ort::CustomOpDomain& domain = *new Ort::CustomOpDomain("bench");
  static const bool added = (domain.Add(&op), true);
  return added ? Ort::GetApi().AddCustomOpDomain(options, domain) : nullptr;
}

// What gather nodes have taken since the section was written.
std::uint64_t bench_node_nanoseconds() {
  return nanoseconds_in_nodes() - bench().nanoseconds_before;
}

// Writes a section [rows, columns] as the operator does, gathers it along the last dimension and
// says how long that took.
std::uint64_t bench_bare_nanoseconds(
    const Element* x, Element* section, Element* output, std::int64_t rows, std::int64_t columns) {
  using muster::DataType;
  write(x, section, static_cast<std::size_t>(rows * columns));
  wait_for_all();
  const auto began = std::chrono::steady_clock::now();
  bench().bare.all_gather({section, DataType::uint16, {rows, columns}},
                          {output, DataType::uint16, {rows, columns * bench().world.size()}},
                          -1);
  return static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began).count());
}
}

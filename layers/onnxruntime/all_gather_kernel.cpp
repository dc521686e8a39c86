#include "all_gather_kernel.h"

#include "arena_allocator.h"
#include "element_type.h"
#include "process_world.h"
#include "statistics.h"
#include "status.h"

#include <fmt/format.h>
#include <muster/error.h>
#include <muster/plan.h>

#include <numeric>
#include <span>
#include <utility>

namespace muster::onnxruntime {

namespace {

using Clock = std::chrono::steady_clock;

// A node need not have a name; its output must.
std::string name_of(const Ort::ConstKernelInfo& info) {
  std::string name = info.GetNodeName();
  return name.empty() ? info.GetOutputName(0) : name;
}

// Tells a session's nodes apart. A name may be used twice in a network (in two branches, say), an
// output's in one graph only.
std::string tag_of(const std::string& session, const Ort::ConstKernelInfo& info) {
  return fmt::format("onnxruntime/{}/{}/{}", session, name_of(info), info.GetOutputName(0));
}

ONNXTensorElementDataType input_type_of(const Ort::ConstKernelInfo& info) {
  return info.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType();
}

class OneAtATime {
 public:
  explicit OneAtATime(std::atomic_flag& running) : running_(running) {
    if (running_.test_and_set(std::memory_order_acquire)) {
      throw Error(ErrorCode::invalid_argument,
                  "it is running already; one Run at a time a session. Make more sessions to run "
                  "more at once");
    }
  }
  ~OneAtATime() { running_.clear(std::memory_order_release); }
  OneAtATime(const OneAtATime&) = delete;
  OneAtATime& operator=(const OneAtATime&) = delete;

 private:
  std::atomic_flag& running_;
};

}  // namespace

// A value of the engine's, as muster sees it.
struct AllGatherKernel::Tensor {
  explicit Tensor(const OrtValue* engine_value)
      : value(const_cast<OrtValue*>(engine_value)),
        type(Ort::ConstValue(engine_value).GetTensorTypeAndShapeInfo().GetElementType()),
        shape(std::span<const std::int64_t>(
            Ort::ConstValue(engine_value).GetTensorTypeAndShapeInfo().GetShape())) {
    Ort::ThrowOnError(Ort::GetApi().GetTensorMutableData(value, &data));
  }

  TensorView view() const { return {data, to_dtype(type), shape}; }

  OrtValue* value;
  ONNXTensorElementDataType type;
  Shape shape;
  void* data = nullptr;
};

std::string label_of(const OrtKernelInfo* info, Dialect dialect) {
  return fmt::format("{} node '{}'", operator_name(dialect), name_of(Ort::ConstKernelInfo(info)));
}

AllGatherKernel::AllGatherKernel(const OrtKernelInfo* info,
                                 Dialect dialect,
                                 const SessionSettings& settings)
    : label_(label_of(info, dialect)),
      attributes_(parse_attributes(KernelAttributes(info), dialect, process_world())) {
  const Ort::ConstKernelInfo kernel(info);
  const ONNXTensorElementDataType type = input_type_of(kernel), wire = attributes_.wire_type;
  to_dtype(type);  // throws for what cannot be gathered
  if (wire != ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED && wire != type) {
    to_wire_.emplace(info, type, wire);
    from_wire_.emplace(info, wire, type);
  }
  options_ = {.timeout = settings.timeout, .tag = tag_of(settings.tag, kernel)};
  session_ = SessionNumber::of(info, settings.tag, attributes_.group);
}

OrtStatus* AllGatherKernel::ComputeV2(OrtKernelContext* context) noexcept {
  return guarded(label_ + ": ", [&] {
    const OneAtATime turn(running_);
    compute(context);
  });
}

void AllGatherKernel::compute(OrtKernelContext* context) {
  const auto begin = Clock::now();
  if (!communicator_) meet();
  try {
    const Ort::KernelContext engine(context);
    const Tensor section(engine.GetInput(0));
    const Shape shape = output_shape(section);
    const Tensor output(engine.GetOutput(0, shape.extents().data(), shape.extents().size()));
    if (output.type != section.type || output.shape != shape) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("the network declares the output as {} {}, but it is {} {}",
                              to_string(to_dtype(output.type)),
                              output.shape.to_string(),
                              to_string(to_dtype(section.type)),
                              shape.to_string()));
    }
    to_wire_ ? gather_cast(context, section, output) : gather(context, section, output);
    record({.time = Clock::now() - begin,
            .output_bytes = rows_of(shape, to_dtype(output.type), attributes_.gather_dim).bytes(),
            .output_in_arena = in_arena(output.data),
            .section_in_arena = in_arena(section.data)});
  } catch (const std::exception& error) {
    // The others are in this gather, or will be: they need not wait for their timeout. Where the
    // communicator has failed already this changes nothing.
    communicator_->abort(label_ + ": " + describe(error));
    throw;
  }
}

void AllGatherKernel::meet() {
  session_->with([&](int number) {
    CommunicatorOptions options = options_;
    options.tag += fmt::format("#{}", number);
    communicator_.emplace(process_world(), attributes_.group, std::move(options));
  });
}

// Throws Error where this rank's section cannot be what the attributes say.
Shape AllGatherKernel::output_shape(const Tensor& section) const {
  const int dim = section.shape.normalized(attributes_.gather_dim);
  const std::int64_t extent = section.shape[dim];
  const auto& sizes = attributes_.sizes;
  if (sizes.empty()) {
    std::int64_t whole = 0;
    if (__builtin_mul_overflow(extent, attributes_.group.size(), &whole)) {
      throw Error(ErrorCode::invalid_argument, "the gathered dimension does not fit 63 bits");
    }
    return section.shape.with(dim, whole);
  }
  const auto position = static_cast<std::size_t>(communicator_->position());
  if (extent != sizes[position]) {
    throw Error(
        ErrorCode::mismatch,
        fmt::format("rank {} has a section of shape {}, of which attribute 'sizes' says that it "
                    "has extent {} in dimension {}",
                    process_world().rank(),
                    section.shape.to_string(),
                    sizes[position],
                    dim));
  }
  return section.shape.with(dim, std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}));
}

void AllGatherKernel::gather(OrtKernelContext*, const Tensor& section, const Tensor& output) {
  communicator_->all_gather(section.view(), output.view(), attributes_.gather_dim);
}

// Both tensors of the wire's type lie in the arena, wherever the engine's do.
void AllGatherKernel::gather_cast(OrtKernelContext* context,
                                  const Tensor& section,
                                  const Tensor& output) {
  const DataType wire = to_dtype(attributes_.wire_type);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const auto make = [&](const Shape& shape) {
    Buffer buffer = process_world().allocate(rows_of(shape, wire, attributes_.gather_dim).bytes());
    Ort::Value value = Ort::Value::CreateTensor(memory,
                                                buffer.data(),
                                                buffer.size(),
                                                shape.extents().data(),
                                                shape.extents().size(),
                                                attributes_.wire_type);
    return std::pair(std::move(buffer), std::move(value));
  };
  const auto [sent, sent_value] = make(section.shape);
  auto [received, received_value] = make(output.shape);
  (*to_wire_)(
      context, section.value, const_cast<OrtValue*>(static_cast<const OrtValue*>(sent_value)));
  communicator_->all_gather({sent.data(), wire, section.shape},
                            {received.data(), wire, output.shape},
                            attributes_.gather_dim);
  (*from_wire_)(context, received_value, output.value);
}

}  // namespace muster::onnxruntime

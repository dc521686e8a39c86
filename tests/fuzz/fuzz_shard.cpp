#include "fuzz_target.h"

#include "exit_status.h"
#include "shard/graph.h"
#include "shard/model.h"
#include "shard/plan.h"
#include "shard/report.h"
#include "shard/rewrite.h"

#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace muster::tool;

// A small model, node by node.
class Seed {
 public:
  Seed() {
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(17);
    graph().add_input()->set_name("x");
  }

  void constant(const std::string& name, const std::vector<std::int64_t>& dims) {
    auto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(::onnx::TensorProto::FLOAT);
    int count = 1;
    for (const std::int64_t extent : dims) {
      tensor.add_dims(extent);
      count *= static_cast<int>(extent);
    }
    for (int i = 0; i < count; ++i) tensor.add_float_data(0.5F);
  }

  void node(const std::string& op, const std::vector<std::string>& inputs, const std::string& out) {
    auto& node = *graph().add_node();
    node.set_op_type(op);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(out);
    graph().add_value_info()->set_name(out);
  }

  muster::fuzz::Input finish(const std::string& output) {
    graph().add_output()->set_name(output);
    const std::string bytes = model_.SerializeAsString();
    return {bytes.begin(), bytes.end()};
  }

 private:
  ::onnx::GraphProto& graph() { return *model_.mutable_graph(); }

  ::onnx::ModelProto model_;
};

}  // namespace

namespace muster::fuzz {

std::vector<Input> seeds() {
  Seed dense;
  dense.constant("W", {2, 6});
  dense.constant("b", {6});
  dense.node("MatMul", {"x", "W"}, "y");
  dense.node("Add", {"y", "b"}, "s");
  dense.node("Gemm", {"s", "W", "b"}, "z");
  Seed conv;
  conv.constant("C", {3, 2, 1});
  conv.constant("n", {3});
  conv.node("Conv", {"x", "C", "n"}, "y");
  conv.node("BatchNormalization", {"y", "n", "n", "n", "n"}, "s");
  conv.node("Gather", {"C", "s"}, "z");
  return {dense.finish("z"), conv.finish("z")};
}

}  // namespace muster::fuzz

// Whatever is in a model, it is split or refused; every part is a part of what it was cut from.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto model = parse_model(std::as_bytes(std::span(data, size)), "/nonexistent");
    const Graph graph(model);
    const SplitPlan plan = make_plan(graph, {.ranks = 3});
    const Rewritten rewritten = rewrite(model, graph, plan);
    for (const Part& part : rewritten.parts) {
      if (part.sections.begin(3) != part.whole->dims(part.dim)) std::abort();
    }
    make_report(model, graph, plan, rewritten);
  } catch (const Failure&) {  // the answer to damage
  }
  return 0;
}

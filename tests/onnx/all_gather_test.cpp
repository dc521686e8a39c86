#include "support/errors.h"

#include <muster/onnx.h>

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace muster::test {
namespace {

using ::onnx::AttributeProto;
using ::onnx::GraphProto;
using ::onnx::ModelProto;
using ::onnx::NodeProto;
using ::onnx::TensorProto;
using ::onnx::ValueInfoProto;

const Group four{0, 1, 2, 3};

void declare(ValueInfoProto& value,
             const std::string& name,
             int type,
             const std::vector<int>& extents) {
  value.set_name(name);
  auto& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (const int extent : extents) {
    auto& dim = *tensor.mutable_shape()->add_dim();
    if (extent >= 0) dim.set_dim_value(extent);
    if (extent < 0) dim.set_dim_param("batch");
  }
}

// An input x of [batch, 3, 5] float32; y = Relu(x), of which nothing is declared.
GraphProto example() {
  GraphProto graph;
  graph.set_name("example");
  declare(*graph.add_input(), "x", TensorProto::FLOAT, {-1, 3, 5});
  NodeProto& node = *graph.add_node();
  node.set_op_type("Relu");
  node.add_input("x");
  node.add_output("y");
  return graph;
}

const AttributeProto* attribute(const NodeProto& node, const std::string& name) {
  for (const auto& it : node.attribute()) {
    if (it.name() == name) return &it;
  }
  return nullptr;
}

// "1 [?, 3, 20]": type and extents.
std::string declared(const GraphProto& graph, const std::string& name) {
  for (const auto& value : graph.value_info()) {
    if (value.name() != name) continue;
    std::string text = std::to_string(value.type().tensor_type().elem_type()) + " [";
    for (const auto& dim : value.type().tensor_type().shape().dim()) {
      text += text.back() == '[' ? "" : ", ";
      text += dim.has_dim_value()   ? std::to_string(dim.dim_value())
              : dim.has_dim_param() ? dim.dim_param()
                                    : "?";
    }
    return text + "]";
  }
  return "nothing";
}

std::string message(GraphProto graph,
                    const std::string& tensor,
                    int gather_dim,
                    const onnx::AllGatherOptions& options = {}) {
  const std::string before = graph.SerializeAsString();
  const Error error =
      thrown_by([&] { onnx::all_gather(graph, tensor, four, gather_dim, options); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_EQ(graph.SerializeAsString(), before) << "the graph was changed";
  return error.what();
}

TEST(OnnxAllGather, AddsANodeWithTheGroupAndTheDimensionAndReturnsItsOutput) {
  GraphProto graph = example();
  const std::string output = onnx::all_gather(graph, "x", Group{2, 0}, -1);
  EXPECT_EQ(output, "x/gathered");
  const NodeProto& node = graph.node(1);
  EXPECT_EQ(node.domain(), "muster");
  EXPECT_EQ(node.op_type(), "AllGather");
  EXPECT_EQ(node.name(), "x/AllGather");
  EXPECT_EQ(node.input(0), "x");
  EXPECT_EQ(node.output(0), output);
  const auto* group = attribute(node, "group");
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(std::vector<std::int64_t>(group->ints().begin(), group->ints().end()),
            (std::vector<std::int64_t>{2, 0}));
  EXPECT_EQ(attribute(node, "gather_dim")->i(), -1);
  EXPECT_EQ(attribute(node, "sizes"), nullptr);
}

TEST(OnnxAllGather, InfersTypeAndShapeAndKeepsSymbolicExtents) {
  GraphProto graph = example();
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "x", four, 2)), "1 [batch, 3, 20]");
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "x", four, -2)), "1 [batch, 12, 5]");
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "x", four)), "1 [?, 3, 5]");
}

TEST(OnnxAllGather, OfUnequalSectionsHasTheirSumAsItsExtent) {
  GraphProto graph = example();
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "x", four, 1, {.sizes = {3, 0, 4, 3}})),
            "1 [batch, 10, 5]");
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "x", four, 0, {.sizes = {1, 2, 3, 4}})),
            "1 [10, 3, 5]");
  EXPECT_EQ(attribute(graph.node(1), "sizes")->ints(1), 0);
}

TEST(OnnxAllGather, OfATensorOfUnknownTypeDeclaresNothing) {
  GraphProto graph = example();
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "y", four, -1)), "nothing");
}

TEST(OnnxAllGather, OfAnInitializerKnowsItsShape) {
  GraphProto graph = example();
  TensorProto& tensor = *graph.add_initializer();
  tensor.set_name("W");
  tensor.set_data_type(TensorProto::INT8);
  tensor.add_dims(6);
  EXPECT_EQ(declared(graph, onnx::all_gather(graph, "W", four)), "3 [24]");
}

TEST(OnnxAllGather, WithAWireTypeCastsBeforeAndBackAfter) {
  GraphProto graph = example();
  const std::string output =
      onnx::all_gather(graph, "x", four, -1, {.wire_type = DataType::float16});
  ASSERT_EQ(graph.node_size(), 4);
  const NodeProto &before = graph.node(1), &gather = graph.node(2), &after = graph.node(3);
  EXPECT_EQ(before.op_type() + gather.op_type() + after.op_type(), "CastAllGatherCast");
  EXPECT_EQ(before.input(0), "x");
  EXPECT_EQ(gather.input(0), before.output(0));
  EXPECT_EQ(after.input(0), gather.output(0));
  EXPECT_EQ(after.output(0), output);
  EXPECT_EQ(attribute(before, "to")->i(), TensorProto::FLOAT16);
  EXPECT_EQ(attribute(after, "to")->i(), TensorProto::FLOAT);
  EXPECT_EQ(declared(graph, before.output(0)), "10 [batch, 3, 5]");
  EXPECT_EQ(declared(graph, gather.output(0)), "10 [batch, 3, 20]");
  EXPECT_EQ(declared(graph, output), "1 [batch, 3, 20]");
}

TEST(OnnxAllGather, WithTheTensorsOwnTypeOnTheWireCastsNothing) {
  GraphProto graph = example();
  onnx::all_gather(graph, "x", four, -1, {.wire_type = DataType::float32});
  EXPECT_EQ(graph.node_size(), 2);
}

TEST(OnnxAllGather, TakesGivenNamesAlsoThatOfADeclaredOutput) {
  GraphProto graph = example();
  declare(*graph.add_output(), "z", TensorProto::FLOAT, {-1, 3, 20});
  EXPECT_EQ(onnx::all_gather(graph, "x", four, -1, {.name = "gather", .output = "z"}), "z");
  EXPECT_EQ(graph.node(1).name(), "gather");
  EXPECT_EQ(declared(graph, "z"), "nothing");  // beside its declaration as an output
  EXPECT_THAT(message(graph, "x", -1, {.output = "z"}), HasSubstr("has a tensor \"z\" already"));
  EXPECT_THAT(message(graph, "x", -1, {.name = "gather"}), HasSubstr("a node \"gather\" already"));
}

TEST(OnnxAllGather, MakesNamesThatAreFree) {
  GraphProto graph = example();
  EXPECT_EQ(onnx::all_gather(graph, "x", four), "x/gathered");
  EXPECT_EQ(onnx::all_gather(graph, "x", four), "x/gathered_1");
  EXPECT_EQ(graph.node(2).name(), "x/AllGather_1");
}

TEST(OnnxAllGather, RefusesWhatCannotBeGatheredAndNamesTheTensor) {
  GraphProto graph = example();
  declare(*graph.add_input(), "scalar", TensorProto::FLOAT, {});
  declare(*graph.add_input(), "text", TensorProto::STRING, {2});
  declare(*graph.add_input(), "complex", TensorProto::COMPLEX64, {2});
  declare(*graph.add_input(), "deep", TensorProto::FLOAT, {1, 1, 1, 1, 1, 1, 1, 1, 1});
  ValueInfoProto& list = *graph.add_input();
  list.set_name("list");
  list.mutable_type()->mutable_sequence_type();
  EXPECT_THAT(message(graph, "none", 0), HasSubstr("tensor \"none\": graph \"example\" has none"));
  EXPECT_THAT(message(graph, "", 0), HasSubstr("has none of that name"));
  EXPECT_THAT(message(graph, "scalar", 0), HasSubstr("tensor \"scalar\": a scalar has no"));
  EXPECT_THAT(message(graph, "text", 0), HasSubstr("type number 8 cannot be gathered"));
  EXPECT_THAT(message(graph, "complex", 0), HasSubstr("complex64 cannot be gathered"));
  EXPECT_THAT(message(graph, "deep", 0), HasSubstr("9 dimensions; at most 8"));
  EXPECT_THAT(message(graph, "list", 0), HasSubstr("not a dense tensor"));
  EXPECT_THAT(message(graph, "x", 3), HasSubstr("gather_dim 3 is outside its 3 dimensions"));
  EXPECT_THAT(message(graph, "x", -4), HasSubstr("gather_dim -4 is outside its 3 dimensions"));
}

TEST(OnnxAllGather, RefusesOptionsThatDoNotFit) {
  const GraphProto graph = example();
  constexpr auto huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(message(graph, "x", 1, {.sizes = {3, 3}}), HasSubstr("2 sizes for the 4 members"));
  EXPECT_THAT(message(graph, "x", 1, {.sizes = {3, -3, 3, 3}}), HasSubstr("a negative one"));
  EXPECT_THAT(message(graph, "x", 1, {.sizes = {4, 4, 4, 4}}),
              HasSubstr("its extent 3 along dimension 1 is none of the sizes [4, 4, 4, 4]"));
  EXPECT_THAT(message(graph, "x", 0, {.sizes = {huge, huge, 1, 1}}), HasSubstr("63 bits"));
  EXPECT_THAT(message(graph, "x", 0, {.wire_type = DataType::complex64}),
              HasSubstr("cannot travel as complex64"));
  EXPECT_THAT(message(graph, "y", 0, {.wire_type = DataType::float16}),
              HasSubstr("tensor \"y\": its type must be declared"));
}

TEST(OnnxImport, OfTheOperatorsIsDoneOnceAndRefusesAnotherVersion) {
  ModelProto model;
  onnx::import_operators(model);
  onnx::import_operators(model);
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_EQ(model.opset_import(0).domain(), "muster");
  EXPECT_EQ(model.opset_import(0).version(), 1);
  model.mutable_opset_import(0)->set_version(2);
  EXPECT_EQ(thrown_by([&] { onnx::import_operators(model); }).code(), ErrorCode::invalid_argument);
}

TEST(OnnxTypes, ConvertBothWays) {
  for (int number = 0; number < 32; ++number) {
    if (const auto dtype = onnx::dtype_of(number)) {
      EXPECT_EQ(onnx::onnx_type_of(*dtype), number);
    }
  }
  EXPECT_EQ(onnx::dtype_of(TensorProto::STRING), std::nullopt);
  EXPECT_EQ(onnx::dtype_of(TensorProto::BFLOAT16), DataType::bfloat16);
}

}  // namespace
}  // namespace muster::test

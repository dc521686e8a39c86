"""What is split, what follows the split, and what is left whole, case by case."""
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import rank_models
from shard_case import ShardTest

FLOAT = TensorProto.FLOAT


def weight(*shape, name="W", seed=1, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return numpy_helper.from_array(values, name)


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def make(nodes, inputs, outputs, initializers=(), opset=17, ir_version=8, **options):
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(initializers), **options)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                             ir_version=ir_version)


def random(*shape, seed=2):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


class RuleTest(ShardTest):
    def check_one(self, model, inputs, ranks=3, *arguments):
        """Splits, checks the result, and returns the only considered node's row of the report."""
        models, report = self.check(model, inputs, ranks, *arguments)
        self.assertEqual(len(report["nodes"]), 1)
        return models, report["nodes"][0]

    def dims(self, models):
        """gather_dim of each AllGather, and the tensor that it makes."""
        return {n.output[0]: helper.get_node_attr_value(n, "gather_dim")
                for n in rank_models.gathers(models[0])}

    def extents(self, models, name):
        return [list(t.dims) for m in models for t in m.graph.initializer if t.name == name]


class Splits(RuleTest):
    def test_matmul_of_unknown_rank_is_gathered_along_its_last_dimension(self):
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", None)], [value("y", None)],
                     [weight(5, 10)])
        directory, _ = self.shard(model, 4)
        models = rank_models.load(directory)
        self.assertEqual(self.dims(models), {"y": -1})
        self.assertEqual(self.extents(models, "W/shard"), [[5, 2], [5, 3], [5, 2], [5, 3]])
        for shape in ([5], [2, 5], [2, 3, 5], [2, 1, 3, 5]):
            x = random(*shape)
            for outputs in rank_models.run_ranks(models, {"x": x}):
                wanted = rank_models.run(model, {"x": x})[0]
                self.assertLess(rank_models.largest_difference(outputs[0], wanted), 1e-6)

    def test_gather_nodes_name_the_group_and_only_unequal_sizes(self):
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 5])], [value("y", [2, 10])],
                     [weight(5, 10)])
        for ranks, sizes in ((2, None), (4, [2, 3, 2, 3])):
            models, _ = self.check(model, {"x": random(2, 5)}, ranks)
            gather, = rank_models.gathers(models[0])
            attributes = {a.name: helper.get_attribute_value(a) for a in gather.attribute}
            self.assertEqual(attributes["group"], list(range(ranks)))
            self.assertEqual(attributes.get("sizes"), sizes)
            self.assertEqual(gather.op_type, "AllGather")
            self.assertIn(("muster", 1), [(i.domain, i.version) for i in models[0].opset_import])

    def test_conv_is_gathered_along_its_channels(self):
        model = make([node("Conv", ["x", "W", "b"], "y", auto_pad="SAME_LOWER", strides=[2, 1])],
                     [value("x", None)], [value("y", None)],
                     [weight(7, 3, 2, 3), weight(7, name="b")])
        models, row = self.check_one(model, {"x": random(2, 3, 5, 6)})
        self.assertEqual((row["dim"], row["sizes"]), (0, [2, 2, 3]))
        self.assertEqual(self.dims(models), {"y": 1})

    def test_gemm_splits_either_dimension_of_b_and_the_columns_of_c(self):
        for trans in (0, 1):
            for c in ([], [1], [9], [1, 9], [4, 1], [4, 9]):
                with self.subTest(trans=trans, c=c):
                    model = make([node("Gemm", ["x", "W", "c"], "y", transB=trans, alpha=0.5,
                                       beta=2.0)],
                                 [value("x", [4, 5])], [value("y", [4, 9])],
                                 [weight(*((9, 5) if trans else (5, 9))), weight(*c, name="c")])
                    _, row = self.check_one(model, {"x": random(4, 5)})
                    self.assertEqual(row["dim"], 1 - trans)

    def test_an_embedding_is_split_by_its_columns(self):
        model = make([node("Gather", ["W", "i"], "y")], [value("i", None, TensorProto.INT64)],
                     [value("y", None)], [weight(6, 10)])
        models, row = self.check_one(model, {"i": np.array([[0, -1, 3]])})
        self.assertEqual(row["dim"], 1)
        self.assertEqual(self.dims(models), {"y": -1})

    def test_every_type_that_can_be_gathered_can_be_split(self):
        for dtype in (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32,
                      np.int64, np.uint64, np.float16, np.float32, np.float64):
            values = np.arange(18).reshape(3, 6).astype(dtype)
            number = helper.np_dtype_to_tensor_dtype(values.dtype)
            for typed in (False, True):
                with self.subTest(dtype=dtype, typed=typed):
                    tensor = (helper.make_tensor("W", number, [3, 6], values.flatten()) if typed
                              else numpy_helper.from_array(values, "W"))
                    self.assertEqual(tensor.HasField("raw_data"), not typed)
                    model = make([node("Gather", ["W", "i"], "y")],
                                 [value("i", [2], TensorProto.INT64)], [value("y", [2, 6], number)],
                                 [tensor])
                    _, row = self.check_one(model, {"i": np.array([2, 1])}, 4)
                    self.assertIn("dim", row)

    def test_of_constant_nodes_leave_none_behind(self):
        model = make([node("Constant", [], "W", value=weight(5, 10)),
                      node("MatMul", ["x", "W"], "y")],
                     [value("x", [2, 5])], [value("y", [2, 10])])
        models, _ = self.check_one(model, {"x": random(2, 5)})
        self.assertEqual([n.op_type for n in models[0].graph.node], ["MatMul", "AllGather"])

    def test_of_a_weight_with_another_use_keep_it_whole_for_that(self):
        model = make([node("MatMul", ["x", "W"], "y"), node("Transpose", ["W"], "t"),
                      node("MatMul", ["y", "t"], "z")],
                     [value("x", [2, 5])], [value("z", [2, 5])], [weight(5, 10)])
        models, report = self.check(model, {"x": random(2, 5)}, 3)
        self.assertEqual(report["gathers"], 1)
        self.assertEqual(sorted(t.name for t in models[0].graph.initializer), ["W", "W/shard"])

    def test_of_one_weight_in_two_dimensions_make_two_parts(self):
        model = make([node("Gather", ["W", "i"], "x"), node("Gemm", ["x", "W"], "y", transB=1)],
                     [value("i", [2], TensorProto.INT64)], [value("y", [2, 9])], [weight(9, 6)])
        models, _ = self.check(model, {"i": np.array([1, 8])}, 3)
        self.assertEqual(self.extents(models, "W/shard"), [[9, 2]] * 3)
        self.assertEqual(self.extents(models, "W/shard_1"), [[3, 6]] * 3)

    def test_of_a_weight_that_is_an_output_keep_it(self):
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 5])],
                     [value("y", [2, 10]), value("W", [5, 10])], [weight(5, 10)])
        models, _ = self.check_one(model, {"x": random(2, 5)})
        self.assertIn("W", [t.name for t in models[0].graph.initializer])

    def test_of_ir_3_keep_every_initializer_an_input(self):
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 5]), value("W", [5, 10])],
                     [value("y", [2, 10])], [weight(5, 10)], opset=8, ir_version=3)
        models, _ = self.check_one(model, {"x": random(2, 5)})
        self.assertEqual([i.name for i in models[0].graph.input], ["x", "W/shard"])

    def test_take_names_that_are_free(self):
        model = make([node("MatMul", ["x", "W"], "y"), node("Neg", ["y"], "y/shard"),
                      node("Softmax", ["y/shard"], "W/shard", name="y/AllGather"),
                      node("Softmax", ["W/shard"], "z", name="y/shard/AllGather")],
                     [value("x", [2, 5])], [value("y", [2, 10]), value("z", [2, 10])],
                     [weight(5, 10)])
        self.check(model, {"x": random(2, 5)}, 3)

    def test_are_the_same_bytes_every_time(self):
        model = make([node("MatMul", ["x", "W"], "y"), node("Add", ["y", "b"], "z")],
                     [value("x", [2, 5])], [value("z", [2, 10])],
                     [weight(5, 10), weight(10, name="b")])
        contents = []
        for _ in range(2):
            directory, _ = self.shard(model, 3)
            with open(f"{directory}/rank1.onnx", "rb") as file:
                contents.append(file.read())
        self.assertEqual(*contents)


class Leaves(RuleTest):
    def check_left(self, reason, model, inputs):
        models, row = self.check_one(model, inputs)
        self.assertEqual(row.get("left_because"), reason)
        self.assertEqual(rank_models.gathers(models[0]), [])
        self.assertNotIn("muster", [i.domain for i in models[0].opset_import])

    def test_a_constant_on_the_left(self):
        self.check_left("the constant is on the left",
                        make([node("MatMul", ["W", "x"], "y")], [value("x", [5, 9])],
                             [value("y", [9, 9])], [weight(9, 5)]), {"x": random(5, 9)})

    def test_a_weight_that_is_a_vector(self):
        self.check_left("the weight is a vector",
                        make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 9])],
                             [value("y", [2])], [weight(9)]), {"x": random(2, 9)})

    def test_a_weight_that_the_caller_may_replace(self):
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 5]), value("W", [5, 10])],
                     [value("y", [2, 10])], [weight(5, 10)])
        self.check_left("a graph input, so the caller may replace it", model, {"x": random(2, 5)})

    def test_grouped_convolutions(self):
        self.check_left("grouped", make([node("Conv", ["x", "W"], "y", group=2)],
                                        [value("x", None)], [value("y", None)],
                                        [weight(4, 2, 3)]), {"x": random(1, 4, 8)})

    def test_a_gemm_whose_c_is_not_constant(self):
        self.check_left("C is not constant",
                        make([node("Gemm", ["x", "W", "c"], "y")],
                             [value("x", [2, 5]), value("c", [9])], [value("y", [2, 9])],
                             [weight(5, 9)]), {"x": random(2, 5), "c": random(9)})

    def test_fewer_columns_than_ranks(self):
        self.check_left("fewer than 3 columns",
                        make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 5])],
                             [value("y", [2, 2])], [weight(5, 2)]), {"x": random(2, 5)})

    def test_a_gather_along_the_last_dimension(self):
        self.check_left("it looks up along the last dimension",
                        make([node("Gather", ["W", "i"], "y", axis=1)],
                             [value("i", [2], TensorProto.INT64)], [value("y", [5, 2])],
                             [weight(5, 9)]), {"i": np.array([8, 1])})

    def test_strings(self):
        strings = helper.make_tensor("W", TensorProto.STRING, [2, 3], [b"a"] * 6)
        self.check_left("elements of this type cannot be gathered",
                        make([node("Gather", ["W", "i"], "s"), node("Shape", ["s"], "y")],
                             [value("i", [2], TensorProto.INT64)],
                             [value("y", [2], TensorProto.INT64)], [strings]),
                        {"i": np.array([1, 0])})

    def test_a_function_that_is_called_like_an_operator(self):
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [2, 9])], [value("y", [2, 9])],
                     [weight(9, 9)])
        model.functions.append(helper.make_function(
            "", "MatMul", ["a", "b"], ["c"], [helper.make_node("Softmax", ["a"], ["c"])],
            [helper.make_opsetid("", 17)]))
        directory, report = self.shard(model, 3)  # the engine does not take such a function
        self.assertEqual(report["nodes"], [])
        self.assertEqual(rank_models.gathers(rank_models.load(directory)[0]), [])

    def test_what_only_does_not_name_and_what_is_smaller_than_min_bytes(self):
        model = make([node("MatMul", ["x", "W"], "y", name="first"),
                      node("MatMul", ["y", "V"], "z", name="second")],
                     [value("x", [2, 5])], [value("z", [2, 9])],
                     [weight(5, 8), weight(8, 9, name="V")])
        for arguments, split in ((["--only", "first"], ["first"]), (["--only", "V"], ["second"]),
                                 (["--only", "f*", "--only", "s?cond"], ["first", "second"]),
                                 (["--only", "MatMul"], ["first", "second"]),
                                 (["--only", "nothing"], []),
                                 (["--min-bytes", 161], ["second"]),
                                 (["--min-bytes", 160], ["first", "second"])):
            with self.subTest(arguments=arguments):
                _, report = self.check(model, {"x": random(2, 5)}, 2, *arguments)
                self.assertEqual([r["node"] for r in report["nodes"] if "dim" in r], split)


class Follows(RuleTest):
    """One gather, behind what follows the split."""

    def check_gathered(self, model, inputs, *tensors, ranks=3):
        models, _ = self.check(model, inputs, ranks)
        self.assertEqual(sorted(self.dims(models)), sorted(tensors))
        return models

    def behind_matmul(self, nodes, output="z", initializers=(), columns=9, **options):
        return make([node("MatMul", ["x", "W"], "y"), *nodes], [value("x", [2, 5])],
                    [value(output, None)], [weight(5, columns), *initializers], **options)

    def test_a_bias_and_an_activation(self):
        for shape in ([], [1], [9], [1, 9], [2, 1], [2, 9], [4, 1, 1], [4, 2, 9]):
            for order in (1, -1):
                with self.subTest(shape=shape, order=order):
                    model = self.behind_matmul([node("Add", ["y", "b"][::order], "s"),
                                                node("Relu", ["s"], "z")],
                                               initializers=[weight(*shape, name="b")])
                    self.check_gathered(model, {"x": random(2, 5)}, "z")

    def test_an_activation_that_uses_its_input_twice(self):
        model = self.behind_matmul([node("Sigmoid", ["y"], "s"), node("Mul", ["y", "s"], "z")])
        self.check_gathered(model, {"x": random(2, 5)}, "z")

    def test_two_splits_that_are_added(self):
        model = make([node("MatMul", ["x", "W"], "y"), node("MatMul", ["x", "V"], "v"),
                      node("Mul", ["y", "v"], "z")],
                     [value("x", [2, 5])], [value("z", None)],
                     [weight(5, 9), weight(5, 9, name="V", seed=9)])
        self.check_gathered(model, {"x": random(2, 5)}, "z")

    def test_not_a_sum_with_a_whole_tensor(self):
        model = make([node("MatMul", ["x", "W"], "y"), node("Add", ["y", "r"], "z")],
                     [value("x", [2, 5]), value("r", [2, 9])], [value("z", None)], [weight(5, 9)])
        self.check_gathered(model, {"x": random(2, 5), "r": random(2, 9)}, "y")

    def test_nothing_where_the_first_tensor_is_gathered_anyway(self):
        model = self.behind_matmul([node("Relu", ["y"], "r"), node("Neg", ["r"], "z")])
        model.graph.output.append(value("y", None))
        self.check_gathered(model, {"x": random(2, 5)}, "y")

    def test_not_two_splits_of_different_dimensions(self):
        # Conv splits dimension 1 of 3, MatMul the last.
        model = make([node("Conv", ["x", "C"], "c"), node("MatMul", ["x", "W"], "m"),
                      node("Add", ["c", "m"], "z")],
                     [value("x", [1, 4, 6])], [value("z", None)],
                     [weight(4, 4, 1, name="C"), weight(6, 6)])
        self.check_gathered(model, {"x": random(1, 4, 6)}, "c", "m")

    def test_batch_normalization_behind_conv_and_gemm(self):
        numbers = [weight(6, name=n, seed=i) for i, n in enumerate("sbm")]
        numbers.append(numpy_helper.from_array(np.linspace(1, 2, 6, dtype=np.float32), "v"))
        norm = node("BatchNormalization", ["y", *"sbmv"], "z")
        model = make([node("Conv", ["x", "W"], "y"), norm], [value("x", None)], [value("z", None)],
                     [weight(6, 3, 2), *numbers])
        models = self.check_gathered(model, {"x": random(2, 3, 4)}, "z")
        self.assertEqual(self.dims(models), {"z": 1})
        model = make([node("Gemm", ["x", "W"], "y"), norm], [value("x", None)], [value("z", None)],
                     [weight(3, 6), *numbers])
        self.check_gathered(model, {"x": random(2, 3)}, "z")

    def test_batch_normalization_behind_matmul_where_the_channels_are_the_columns(self):
        numbers = [weight(6, name=n, seed=i) for i, n in enumerate("sbm")]
        numbers.append(numpy_helper.from_array(np.linspace(1, 2, 6, dtype=np.float32), "v"))
        norm = node("BatchNormalization", ["y", *"sbmv"], "z")
        for shape, gathered in (([2, 3], "z"), ([2, 6, 3], "y")):
            model = make([node("MatMul", ["x", "W"], "y"), norm], [value("x", shape)],
                         [value("z", None)], [weight(3, 6), *numbers],
                         value_info=[value("y", [*shape[:-1], 6])])
            self.check_gathered(model, {"x": random(*shape)}, gathered)

    def test_a_constant_of_more_dimensions(self):
        model = make([node("Conv", ["x", "W"], "y"), node("Add", ["y", "b"], "z")],
                     [value("x", None)], [value("z", None)],
                     [weight(6, 3, 2), weight(2, 1, 6, 1, name="b")])
        models = self.check_gathered(model, {"x": random(2, 3, 4)}, "z")
        self.assertEqual(self.dims(models), {"z": 2})

    def test_not_operators_that_broadcast_in_the_old_way(self):
        model = self.behind_matmul([node("Add", ["y", "b"], "z", broadcast=1)], opset=6,
                                   ir_version=8, initializers=[weight(9, name="b")])
        directory, _ = self.shard(model, 3)  # too old for the engine
        self.assertEqual(self.dims(rank_models.load(directory)), {"y": -1})

    def test_a_clip_whose_bounds_are_whole(self):
        model = self.behind_matmul([node("Clip", ["y", "low", "high"], "z")],
                                   initializers=[weight(name="low"), weight(name="high", seed=3)])
        model.graph.input.append(value("unused", []))
        self.check_gathered(model, {"x": random(2, 5), "unused": random()}, "z")

    def test_declared_shapes_of_sections(self):
        model = self.behind_matmul([node("Relu", ["y"], "z")], value_info=[value("y", [2, 9])])
        models = self.check_gathered(model, {"x": random(2, 5)}, "z", ranks=4)
        declared = [v.type.tensor_type.shape.dim[1].dim_value
                    for m in models for v in m.graph.value_info if v.name == "y"]
        self.assertEqual(declared, [2, 2, 2, 3])


class InnerGraphs(RuleTest):
    def test_use_whole_tensors_and_weights_of_the_outer_graph(self):
        branches = [helper.make_graph([node("MatMul", [x, "V"], name)], name, [],
                                      [value(name, [None, None])])
                    for x, name in (("y", "then"), ("z", "else"))]
        model = make([node("MatMul", ["x", "W"], "y"), node("MatMul", ["x", "V"], "z"),
                      node("If", ["c"], "o", then_branch=branches[0], else_branch=branches[1])],
                     [value("x", [9, 9]), value("c", [], TensorProto.BOOL)], [value("o", [9, 9])],
                     [weight(9, 9), weight(9, 9, name="V", seed=5)])
        for condition in (True, False):
            models, report = self.check(model, {"x": random(9, 9), "c": np.array(condition)}, 3)
            self.assertEqual(sorted(self.dims(models)), ["y", "z"])
            self.assertEqual(report["inner_nodes_left"], 2)
            self.assertIn("V", [t.name for t in models[0].graph.initializer])


if __name__ == "__main__":
    unittest.main()

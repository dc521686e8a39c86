"""The operator against numpy's concatenate. Every rank of a job runs all of this."""
import itertools
import json
import os
import tempfile
import unittest

import numpy
import onnxruntime
from onnx import TensorProto, helper

from network import (RANK, SIZE, WORLD, all_gather, gather_network, network, options,
                     random_array, session, with_extent)

NUMPY_TYPES = {
    TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.FLOAT16: "float16",
    TensorProto.BOOL: "bool", TensorProto.INT8: "int8", TensorProto.INT16: "int16",
    TensorProto.INT32: "int32", TensorProto.INT64: "int64", TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16", TensorProto.UINT32: "uint32", TensorProto.UINT64: "uint64"}
# Types that numpy lacks; with values from 0 to 3 they all represent.
OTHER_TYPES = [TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ,
               TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ, TensorProto.INT4,
               TensorProto.UINT4]


def groups_with_this_rank():
    """All ranks, all in reverse, this half of them, this one alone."""
    half = WORLD[:(SIZE + 1) // 2] if RANK < (SIZE + 1) // 2 else WORLD[(SIZE + 1) // 2:]
    unique = []
    for group in (WORLD, WORLD[::-1], half, [RANK]):
        if group not in unique:
            unique.append(group)
    return unique


class Gather(unittest.TestCase):
    def check(self, model, sections, group, dim, session_options=None):
        """Runs the model on this rank's section; y is all sections of the group, concatenated."""
        result, = session(model, session_options).run(["y"], {"x": sections[RANK]})
        expected = numpy.concatenate([sections[rank] for rank in group], dim)
        numpy.testing.assert_array_equal(result, expected, strict=True)

    def test_any_dimension_of_any_shape(self):
        for shape in ([5], [3, 4], [2, 3, 5], [1, 2, 3, 4], [2, 1, 2, 1, 3, 1, 2, 2], [2, 40000],
                      [40000, 2], [7, 1025]):
            sections = [random_array(rank, shape) for rank in WORLD]
            for dim in range(-len(shape), len(shape)):
                with self.subTest(shape=shape, dim=dim):
                    self.check(gather_network(shape, gather_dim=dim), sections, WORLD, dim)

    def test_without_attributes_the_world_is_gathered_along_dimension_0(self):
        sections = [random_array(rank, [3, 2]) for rank in WORLD]
        self.check(gather_network([3, 2]), sections, WORLD, 0)

    def test_every_type_that_numpy_has(self):
        for element_type, dtype in NUMPY_TYPES.items():
            for columns in (3, 5000):
                with self.subTest(dtype=dtype, columns=columns):
                    sections = [random_array(rank, [4, columns], dtype) for rank in WORLD]
                    model = gather_network([4, columns], element_type, gather_dim=1)
                    self.check(model, sections, WORLD, 1)

    def test_every_type_that_numpy_lacks(self):
        for element_type in OTHER_TYPES:
            with self.subTest(type=TensorProto.DataType.Name(element_type)):
                # The engine casts to the smallest integers from the next ones only.
                wide = (TensorProto.INT8 if element_type == TensorProto.INT4 else
                        TensorProto.UINT8 if element_type == TensorProto.UINT4 else
                        TensorProto.FLOAT)
                dtype = NUMPY_TYPES[wide]
                model = network(
                    [helper.make_node("Cast", ["x"], ["narrow"], to=element_type),
                     all_gather("narrow", "gathered", gather_dim=1),
                     helper.make_node("Cast", ["gathered"], ["y"], to=wide)],
                    {"x": (wide, [3, 6])}, {"y": (wide, None)})
                sections = [random_array(rank, [3, 6], "uint8").astype(dtype) % 4
                            for rank in WORLD]
                self.check(model, sections, WORLD, 1)

    def test_any_group_in_any_order(self):
        for group in groups_with_this_rank():
            with self.subTest(group=group):
                sections = [random_array(rank, [2, 3, 4]) for rank in WORLD]
                model = gather_network([2, 3, 4], group=group, gather_dim=1)
                self.check(model, sections, group, 1)

    def test_unequal_sections_with_their_sizes(self):
        sizes = [3 * rank + (rank == 0) for rank in WORLD]  # one of them 1
        for dim, scale in itertools.product((0, 1, 2), (1, 500)):
            with self.subTest(dim=dim, scale=scale):
                extents = [size * scale for size in sizes]
                shape = [3, 5, 2]
                sections = [random_array(rank, with_extent(shape, dim, extents[rank]))
                            for rank in WORLD]
                model = gather_network(list(sections[RANK].shape), gather_dim=dim, sizes=extents)
                self.check(model, sections, WORLD, dim)

    def test_sizes_are_in_the_order_of_the_group(self):
        group = WORLD[::-1]
        sections = [random_array(rank, [2, rank + 1]) for rank in WORLD]
        model = gather_network([2, RANK + 1], gather_dim=-1, group=group,
                               sizes=[rank + 1 for rank in group])
        self.check(model, sections, group, -1)

    def test_empty_sections(self):
        extents = [0 if rank == SIZE - 1 else 2 for rank in WORLD]
        sections = [random_array(rank, [3, extents[rank]]) for rank in WORLD]
        model = gather_network([3, extents[RANK]], gather_dim=1, sizes=extents)
        self.check(model, sections, WORLD, 1)

    def test_a_tensor_without_elements(self):
        sections = [random_array(rank, [0, 4]) for rank in WORLD]
        self.check(gather_network([0, 4], gather_dim=1), sections, WORLD, 1)

    def test_an_initializer(self):
        section = random_array(RANK, [2, 3])
        tensor = helper.make_tensor("x", TensorProto.FLOAT, [2, 3], section.flatten())
        model = network([all_gather("x", "y", gather_dim=1)], {}, {"y": (TensorProto.FLOAT, None)},
                        [tensor])
        result, = session(model).run(None, {})
        expected = numpy.concatenate([random_array(rank, [2, 3]) for rank in WORLD], 1)
        numpy.testing.assert_array_equal(result, expected)

    def test_shapes_may_change_from_run_to_run(self):
        running = session(gather_network(["rows", "columns"], gather_dim=1))
        for rows, columns in ((1, 1), (4, 3000), (2, 5), (4, 3000)):
            sections = [random_array(rank, [rows, columns]) for rank in WORLD]
            result, = running.run(None, {"x": sections[RANK]})
            numpy.testing.assert_array_equal(result, numpy.concatenate(sections, 1))


class WireType(unittest.TestCase):
    def test_values_travel_in_it_and_come_back_in_the_networks_type(self):
        for wire_type, dtype in (("float16", "float16"), ("float64", "float64"),
                                 ("float32", "float32"), ("int32", "int32")):
            with self.subTest(wire_type=wire_type):
                sections = [10 * random_array(rank, [3, 700]) for rank in WORLD]
                model = gather_network([3, 700], gather_dim=1, wire_type=wire_type)
                result, = session(model).run(None, {"x": sections[RANK]})
                expected = numpy.concatenate(sections, 1).astype(dtype).astype("float32")
                numpy.testing.assert_array_equal(result, expected, strict=True)

    def test_bfloat16_loses_the_last_16_bits(self):
        exact = [random_array(rank, [2, 5], "uint8").astype("float32") for rank in WORLD]
        model = gather_network([2, 5], gather_dim=0, wire_type="bfloat16")
        result, = session(model).run(None, {"x": exact[RANK] + 2.0 ** -20})
        numpy.testing.assert_array_equal(result, numpy.concatenate(exact))


class Shapes(unittest.TestCase):
    def output_shape(self, shape, **attributes):
        return session(gather_network(shape, **attributes)).get_outputs()[0].shape

    def test_the_gathered_extent_is_inferred(self):
        self.assertEqual(self.output_shape([2, 3], gather_dim=-1), [2, 3 * SIZE])
        self.assertEqual(self.output_shape([2, 3], gather_dim=0, sizes=[2] * SIZE), [2 * SIZE, 3])

    def test_symbolic_extents_keep_their_names(self):
        self.assertEqual(self.output_shape(["batch", "sequence", 8], gather_dim=2),
                         ["batch", "sequence", 8 * SIZE])

    def test_a_symbolic_extent_that_is_gathered_is_a_multiple_of_itself(self):
        expected = [f"{SIZE}*batch", 4] if SIZE > 1 else ["batch", 4]
        self.assertEqual(self.output_shape(["batch", 4], gather_dim=0), expected)

    def test_extents_that_are_not_known_are_not_taken_for_equal(self):
        a, b = self.output_shape([None, None, 3], gather_dim=0)[:2]
        self.assertNotEqual(a, b)
        self.assertFalse({a, b} & {-1, None})

    def test_a_tensor_of_unknown_rank_is_gathered_all_the_same(self):
        model = network([helper.make_node("Reshape", ["x", "s"], ["section"]),
                         all_gather("section", "y", gather_dim=1)],
                        {"x": (TensorProto.FLOAT, [6]), "s": (TensorProto.INT64, ["n"])},
                        {"y": (TensorProto.FLOAT, None)})
        result, = session(model).run(None, {"x": numpy.ones([6], "float32"),
                                            "s": numpy.array([2, 3])})
        self.assertEqual(result.shape, (2, 3 * SIZE))

    def test_sizes_make_it_known(self):
        sizes = [rank + 1 for rank in WORLD]
        self.assertEqual(self.output_shape(["batch", 4], gather_dim=0, sizes=sizes),
                         [sum(sizes), 4])

    def test_a_network_with_symbolic_shapes_is_inferred_and_optimised_throughout(self):
        weight = helper.make_tensor("w", TensorProto.FLOAT, [4 * SIZE, 3], numpy.ones(12 * SIZE))
        model = network(
            [helper.make_node("Relu", ["x"], ["section"]),
             all_gather("section", "whole", gather_dim=-1),
             helper.make_node("MatMul", ["whole", "w"], ["product"]),
             helper.make_node("Relu", ["product"], ["y"])],
            {"x": (TensorProto.FLOAT, ["batch", 4])}, {"y": (TensorProto.FLOAT, None)}, [weight])
        for level in (onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
                      onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
            session_options = options()
            session_options.graph_optimization_level = level
            running = session(model, session_options)
            self.assertEqual(running.get_outputs()[0].shape, ["batch", 3])
            for batch in (1, 5):
                result, = running.run(None, {"x": numpy.ones([batch, 4], "float32")})
                numpy.testing.assert_array_equal(result, numpy.full([batch, 3], 4 * SIZE))

    def test_equal_gathers_of_one_tensor_are_both_made(self):
        model = network([helper.make_node("Relu", ["x"], ["r"]), all_gather("r", "a"),
                         all_gather("r", "b"), helper.make_node("Add", ["a", "b"], ["y"])],
                        {"x": (TensorProto.FLOAT, [2])}, {"y": (TensorProto.FLOAT, None)})
        result, = session(model).run(None, {"x": numpy.full([2], RANK + 1, "float32")})
        numpy.testing.assert_array_equal(result, numpy.repeat(2.0 * numpy.arange(1, SIZE + 1), 2))


class ManyNodes(unittest.TestCase):
    def two_groups(self):
        """Tensor parallel in pairs of neighbours, and a pipeline over every second rank."""
        tp = [rank for rank in WORLD if rank // 2 == RANK // 2]
        pp = [rank for rank in WORLD if rank % 2 == RANK % 2]
        return tp, pp

    def test_groups_that_cross_each_other_in_one_network(self):
        tp, pp = self.two_groups()
        model = network([all_gather("x", "t", group=tp, gather_dim=1),
                         all_gather("x", "p", group=pp, gather_dim=0)],
                        {"x": (TensorProto.FLOAT, [2, 3])},
                        {name: (TensorProto.FLOAT, None) for name in ("t", "p")})
        sections = [random_array(rank, [2, 3]) for rank in WORLD]
        running = session(model)
        for _ in range(3):
            t, p = running.run(["t", "p"], {"x": sections[RANK]})
            numpy.testing.assert_array_equal(t, numpy.concatenate([sections[r] for r in tp], 1))
            numpy.testing.assert_array_equal(p, numpy.concatenate([sections[r] for r in pp]))

    @unittest.skipIf(SIZE % 2, "needs whole pairs")
    def test_a_gather_over_what_other_groups_have_gathered(self):
        tp, pp = self.two_groups()
        model = network([all_gather("x", "t", group=tp, gather_dim=1),
                         all_gather("t", "y", group=pp, gather_dim=0)],
                        {"x": (TensorProto.FLOAT, [2, 3])}, {"y": (TensorProto.FLOAT, None)})
        sections = [random_array(rank, [2, 3]) for rank in WORLD]
        result, = session(model).run(["y"], {"x": sections[RANK]})
        pairs = [numpy.concatenate(sections[rank:rank + 2], 1) for rank in WORLD[::2]]
        numpy.testing.assert_array_equal(result, numpy.concatenate(pairs))

    def test_nodes_without_names(self):
        model = network([all_gather("x", "a", name="", gather_dim=0),
                         all_gather("x", "b", name="", gather_dim=1)],
                        {"x": (TensorProto.FLOAT, [1, 1])},
                        {name: (TensorProto.FLOAT, None) for name in ("a", "b")})
        a, b = session(model).run(["a", "b"], {"x": numpy.full([1, 1], RANK, "float32")})
        self.assertEqual((a.shape, b.shape), ((SIZE, 1), (1, SIZE)))

    def test_parallel_execution(self):
        """Two chains of nodes, each on a stream of its own; ranks run them in any order."""
        depth, nodes = 6, []
        for chain in ("a", "b"):
            previous = "x"
            for i in range(depth):
                last = f"{chain}{i}"
                nodes += [all_gather(previous, f"{last}_whole", gather_dim=0),
                          helper.make_node("ReduceSum", [f"{last}_whole", "axis"], [last],
                                           name=f"{last}_sum", keepdims=1)]
                previous = last
        model = network(nodes, {"x": (TensorProto.FLOAT, [1, 3])},
                        {name: (TensorProto.FLOAT, None) for name in (f"a{depth-1}", f"b{depth-1}")},
                        [helper.make_tensor("axis", TensorProto.INT64, [1], [0])])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "streams.json")
            streams = [[node.name for node in nodes if node.output[0].startswith(chain)]
                       for chain in ("a", "b")]
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"type": "DeviceBasedPartitioner", "streams": streams,
                           "devices": ["0", "0"]}, file)
            session_options = options(session_node__partition__config__file=path)
            session_options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
            session_options.inter_op_num_threads = 2
            running = session(model, session_options)
            for _ in range(20):
                for result in running.run(None, {"x": numpy.ones([1, 3], "float32")}):
                    expected = numpy.full([1, 3], float(SIZE) ** depth, "float32")
                    numpy.testing.assert_array_equal(result, expected)


if __name__ == "__main__":
    unittest.main(failfast=True)

"""What a network's author can get wrong, told when the session is made. No launcher is needed."""
import unittest

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

from network import MUSTER, gather_network, network, options, session


def attribute(name, kind, **value):
    return onnx.AttributeProto(name=name, type=getattr(onnx.AttributeProto, kind), **value)


class WithoutLauncher(unittest.TestCase):
    def test_a_group_of_the_process_itself_works(self):
        x = numpy.arange(6, dtype="float32").reshape(2, 3)
        for attributes in ({}, {"group": [0]}, {"gather_dim": -1}, {"sizes": [2]}):
            result, = session(gather_network([2, 3], **attributes)).run(None, {"x": x})
            numpy.testing.assert_array_equal(result, x)

    def test_another_group_is_an_error_that_says_how_to_launch(self):
        for group in ([0, 1], [1]):
            with self.assertRaisesRegex(Exception, r"'logits'.*has rank 1.*muster run -n N"):
                session(gather_network([2, 3], name="logits", group=group))


class Attributes(unittest.TestCase):
    def assert_refused(self, text, *protos, **attributes):
        model = gather_network([2, 3], name="logits", **attributes)
        model.graph.node[0].attribute.extend(protos)
        with self.assertRaises(Exception) as caught:
            session(model)
        self.assertIn("muster::AllGather node 'logits': ", str(caught.exception))
        self.assertIn(text, str(caught.exception))

    def test_a_list_that_is_empty(self):
        for name in ("group", "sizes"):
            self.assert_refused(f"'{name}' must be a list of integers, at least one",
                                attribute(name, "INTS"))

    def test_an_attribute_of_another_kind(self):
        for name in ("group", "sizes"):
            for value in (1, 1.5, "x", [1.5], ["x"]):
                self.assert_refused(f"'{name}' must be a list of integers", **{name: value})
        for value in (1.5, "x", [1], [1.5], ["x"]):
            self.assert_refused("'gather_dim' must be an integer", gather_dim=value)
        tensor = helper.make_tensor("t", TensorProto.INT64, [1], [0])
        self.assert_refused("'gather_dim' must be an integer", gather_dim=tensor)
        for value in (1, 1.5, ["float16"]):
            self.assert_refused("'wire_type' must be a string", wire_type=value)

    def test_a_group_that_is_none(self):
        self.assert_refused("has rank 0 more than once", group=[0, 0])
        self.assert_refused("negative", group=[-1])
        self.assert_refused("1099511627776", group=[1 << 40])

    def test_sizes_that_do_not_fit_the_group(self):
        self.assert_refused("'sizes' has 2 sections, group [0] has 1 members", sizes=[2, 3])
        self.assert_refused("section of -1", sizes=[-1])

    def test_a_dimension_that_no_tensor_has(self):
        self.assert_refused("'gather_dim' is 9; tensors have at most 8 dimensions", gather_dim=9)

    def test_a_wire_type_that_is_none(self):
        self.assert_refused("'wire_type' is empty", wire_type="")
        self.assert_refused('no dtype is named "half"; the names are bool8', wire_type="half")
        self.assert_refused("the engine cannot cast", wire_type="complex64")

    def test_a_tensor_of_strings(self):
        model = gather_network([2], TensorProto.STRING, name="logits")
        with self.assertRaisesRegex(Exception, "node 'logits': unsupported: strings"):
            session(model)

    def test_a_node_without_a_name_is_told_by_its_output(self):
        with self.assertRaisesRegex(Exception, "muster::AllGather node 'y': "):
            session(gather_network([2], name="", group=[0, 0]))

    def test_the_session_is_not_made_a_second_time_after_an_error(self):
        """The engine's Python interface does that on some statuses; other ranks would not."""
        with self.assertRaises(Exception) as caught:
            session(gather_network([2], group=[0, 0]))
        self.assertIsNone(caught.exception.__context__)


class Run(unittest.TestCase):
    def test_a_dimension_that_the_tensor_lacks(self):
        running = session(gather_network(["a", "b"], name="logits", gather_dim=2))
        with self.assertRaisesRegex(Exception, r"'logits'.*gather_dim 2 is outside \[-2, 2\)"):
            running.run(None, {"x": numpy.ones([2, 3], "float32")})

    def test_a_scalar(self):
        with self.assertRaisesRegex(Exception, "AllGather node 'y_node': invalid_argument"):
            session(gather_network([])).run(None, {"x": numpy.array(1, "float32")})

    def test_sizes_that_the_section_does_not_have(self):
        running = session(gather_network(["a", 3], name="logits", sizes=[2]))
        with self.assertRaisesRegex(Exception, r"'logits'.*rank 0 has .*\[4, 3\].*extent 2"):
            running.run(None, {"x": numpy.ones([4, 3], "float32")})


class Settings(unittest.TestCase):
    def test_a_timeout_that_is_no_number(self):
        with self.assertRaisesRegex(Exception, "muster.timeout_ms is 'soon'"):
            options(muster_timeout__ms="soon")

    def test_options_that_were_refused_can_be_put_right(self):
        corrected = onnxruntime.SessionOptions()
        corrected.add_session_config_entry("muster.timeout_ms", "soon")
        with self.assertRaisesRegex(Exception, "muster.timeout_ms is 'soon'"):
            corrected.register_custom_ops_library(MUSTER)
        corrected.add_session_config_entry("muster.timeout_ms", "5000")
        corrected.register_custom_ops_library(MUSTER)
        x = numpy.ones([2], "float32")
        numpy.testing.assert_array_equal(
            session(gather_network([2]), corrected).run(None, {"x": x})[0], x)

    def test_registering_twice_is_harmless(self):
        twice = options(libraries=(MUSTER, MUSTER))
        x = numpy.ones([2], "float32")
        numpy.testing.assert_array_equal(session(gather_network([2]), twice).run(None, {"x": x})[0], x)


class OtherModels(unittest.TestCase):
    def test_the_engines_own_contributed_operators_stay_what_they_are(self):
        """Registering their domain would hide them; hence com.microsoft::AllGather's own library."""
        model = network([helper.make_node("FusedMatMul", ["x", "x"], ["y"],
                                          domain="com.microsoft", transB=1)],
                        {"x": (TensorProto.FLOAT, [2, 3])}, {"y": (TensorProto.FLOAT, None)})
        x = numpy.arange(6, dtype="float32").reshape(2, 3)
        result, = session(model).run(None, {"x": x})
        numpy.testing.assert_array_equal(result, x @ x.T)

    def test_fusions_into_contributed_operators_still_happen(self):
        model = network([helper.make_node("Erf", ["x"], ["y"])],
                        {"x": (TensorProto.FLOAT, [2])}, {"y": (TensorProto.FLOAT, None)})
        session(model).run(None, {"x": numpy.ones([2], "float32")})

    def test_a_file_that_is_no_model_is_the_engines_error(self):
        good = gather_network([2, 3]).SerializeToString()
        for bad in (b"", b"no model", good[:len(good) // 2]):
            with self.assertRaises(Exception):
                onnxruntime.InferenceSession(bad, options(), providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    unittest.main()

"""`muster run -n N model.onnx`, used well and badly."""
import json
import os
import resource
import signal
import sys
import unittest

import numpy
import onnx
from onnx import TensorProto, helper

from network import all_gather, gather_network, network

sys.path.insert(0, os.environ["MUSTER_TOOLS_TESTS"])
from command_line import CommandLineTest  # noqa: E402


def npy(shape, type="<f4", version=1, length=100):
    """An array of zeros as in a file, but that its shape may be any; the header has that length."""
    header = f"{{'descr': '{type}', 'fortran_order': False, 'shape': {shape}, }}".ljust(length - 1)
    length_bytes = len(header + "\n").to_bytes(2 * version, "little")
    return (b"\x93NUMPY" + bytes([version, 0]) + length_bytes + header.encode() + b"\n" + bytes(48))


class RunModel(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.x = numpy.arange(12, dtype="float32").reshape(3, 4)
        self.save("x.npy", self.x)
        self.model = self.write("model.onnx", network(
            [helper.make_node("Relu", ["x"], ["r"]), all_gather("r", "y", gather_dim=1)],
            {"x": (TensorProto.FLOAT, ["batch", 4])}, {"y": (TensorProto.FLOAT, None)}))

    def path(self, name):
        return os.path.join(self.directory, name)

    def save(self, name, array):
        numpy.save(self.path(name), array)
        return self.path(name)

    def write(self, name, model):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        onnx.save(model, self.path(name))
        return self.path(name)

    def write_sharded(self, ranks):
        """What `muster shard` writes, as far as the ranks' numbers go."""
        for rank in range(ranks):
            model = gather_network([3, 4], gather_dim=0)
            helper.set_model_props(model, {"muster.rank": str(rank), "muster.ranks": str(ranks)})
            self.write(f"sharded/rank{rank}.onnx", model)

    def run_model(self, *arguments, ranks=2, model=None, x="x.npy", options=()):
        return self.muster("run", "-n", ranks, *options, model or self.model,
                           *([f"--input=x={self.path(x)}"] if x else []), *arguments)

    def assert_runs(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout


class Outputs(RunModel):
    def test_they_are_written_as_npy_files_and_shown(self):
        text = self.assert_runs(self.run_model("--output", self.path("out")))
        self.assertRegex(text, r"y +float32 +\[3,8\] +.*/out/y.npy\n.*gathers a run: 1")
        y = numpy.load(self.path("out/y.npy"))
        numpy.testing.assert_array_equal(y, numpy.concatenate([self.x, self.x], 1), strict=True)
        self.assertEqual(os.listdir(self.path("out")), ["y.npy"])

    def test_they_replace_a_file_and_leave_what_else_has_its_content(self):
        os.mkdir(self.path("out"))
        os.link(self.save("old.npy", self.x), self.path("out/y.npy"))
        self.assert_runs(self.run_model("--output", self.path("out")))
        self.assertEqual(numpy.load(self.path("out/y.npy")).shape, (3, 8))
        numpy.testing.assert_array_equal(numpy.load(self.path("old.npy")), self.x)

    def test_a_rank_that_is_killed_as_it_writes_leaves_no_part_of_them(self):
        try:
            os.close(os.open(self.directory, os.O_TMPFILE | os.O_WRONLY))
        except OSError:
            self.skipTest("needs a file system with files without names")

        def kill_who_writes_8_mebibytes():  # more than an arena has
            resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self.save("large.npy", numpy.ones([1 << 20, 4], "float32"))
        model = self.write("relu.onnx", network(
            [helper.make_node("Relu", ["x"], ["y"])],
            {"x": (TensorProto.FLOAT, ["batch", 4])}, {"y": (TensorProto.FLOAT, None)}))
        os.mkdir(self.path("out"))
        for before in ([], ["y.npy"]):
            with self.subTest(before=before):
                for name in before:
                    self.save(f"out/{name}", self.x)
                result = self.muster(
                    "run", "-n", 1, model, f"--input=x={self.path('large.npy')}",
                    "--output", self.path("out"), preexec_fn=kill_who_writes_8_mebibytes)
                self.assertEqual(result.returncode, 128 + signal.SIGXFSZ, result.stderr)
                self.assertEqual(os.listdir(self.path("out")), before)
        numpy.testing.assert_array_equal(numpy.load(self.path("out/y.npy")), self.x)

    def test_behind_two_dashes_too(self):
        result = self.muster("run", "-n", 2, "--", self.model, "--input", f"x={self.path('x.npy')}")
        self.assert_runs(result)

    def test_files_of_each_rank_with_its_number(self):
        for rank in range(3):
            self.save(f"x{rank}.npy", self.x + rank)
            self.write(f"rank{rank}.onnx", gather_network([3, 4], gather_dim=0))
        self.assert_runs(self.run_model(
            "--output", self.path("out{rank}"), ranks=3, model=self.path("rank{rank}.onnx"),
            x="x{rank}.npy"))
        expected = numpy.concatenate([self.x, self.x + 1, self.x + 2])
        for rank in range(3):
            numpy.testing.assert_array_equal(numpy.load(self.path(f"out{rank}/y.npy")), expected)

    def test_a_directory_with_a_model_for_each_rank(self):
        for rank in range(2):
            self.write(f"sharded/rank{rank}.onnx",
                       gather_network([3, 4], gather_dim=0, sizes=[3, 3]))
        self.assert_runs(self.run_model("--output", self.path("out"), model=self.path("sharded")))
        self.assertEqual(numpy.load(self.path("out/y.npy")).shape, (6, 4))
        for rank in range(2):
            os.makedirs(self.path(f"of{rank}"))
            os.link(self.path(f"sharded/rank{rank}.onnx"), self.path(f"of{rank}/rank{rank}.onnx"))
        self.assert_runs(self.run_model(model=self.path("of{rank}")))
        os.rename(self.path("sharded"), self.path("split"))  # also a program
        self.assert_runs(self.muster("run", "-n", 2, "split", "--input=x=x.npy",
                                     cwd=self.directory))

    def test_a_directory_whose_models_say_which_rank_they_are_for(self):
        self.write_sharded(2)
        self.assert_runs(self.run_model("--output", self.path("out"), model=self.path("sharded")))
        self.assertEqual(numpy.load(self.path("out/y.npy")).shape, (6, 4))

    def test_every_type_that_files_can_hold(self):
        types = {TensorProto.BOOL: "bool", TensorProto.INT8: "int8", TensorProto.INT16: "int16",
                 TensorProto.INT32: "int32", TensorProto.INT64: "int64",
                 TensorProto.UINT8: "uint8", TensorProto.UINT16: "uint16",
                 TensorProto.UINT32: "uint32", TensorProto.UINT64: "uint64",
                 TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64",
                 TensorProto.BFLOAT16: "uint16", TensorProto.FLOAT8E4M3FN: "uint8"}
        for element_type, dtype in types.items():
            with self.subTest(type=TensorProto.DataType.Name(element_type)):
                x = (self.x % 2).astype(dtype)
                self.save("typed.npy", x)
                model = self.write("typed.onnx", gather_network([3, 4], element_type))
                self.assert_runs(self.run_model("--output", self.path("out"), model=model,
                                                x="typed.npy"))
                y = numpy.load(self.path("out/y.npy"))
                numpy.testing.assert_array_equal(y, numpy.concatenate([x, x]), strict=True)

    def test_headers_of_any_length(self):
        for version, length in ((1, 100), (1, 200), (1, 10_000), (2, 100), (2, 200)):
            with self.subTest(version=version, length=length):
                with open(self.path("zeros.npy"), "wb") as file:
                    file.write(npy("(3, 4)", version=version, length=length))
                self.assert_runs(self.run_model(x="zeros.npy", ranks=1))

    def test_one_dimension_and_none_and_no_elements(self):
        for shape in ([5], [0, 4], []):
            with self.subTest(shape=shape):
                model = self.write("shaped.onnx", network(
                    [helper.make_node("Neg", ["x"], ["y"])], {"x": (TensorProto.FLOAT, shape)},
                    {"y": (TensorProto.FLOAT, shape)}))
                x = numpy.ones(shape, "float32")
                self.save("shaped.npy", x)
                self.assert_runs(self.run_model("--output", self.path("out"), model=model,
                                                x="shaped.npy"))
                numpy.testing.assert_array_equal(numpy.load(self.path("out/y.npy")), -x,
                                                 strict=True)


class Figures(RunModel):
    def test_json_has_the_times_and_what_was_gathered(self):
        text = self.assert_runs(self.run_model("--repeat", 5, options=["--json"]))
        model = json.loads(text)["model"]
        self.assertEqual((model["runs"], model["gathers"], model["profile"]), (4, 1, None))
        self.assertEqual(model["outputs"], [{"name": "y", "dtype": "float32", "shape": [3, 8]}])
        for key in ("first_run_seconds", "run_seconds", "gather_share"):
            self.assertGreater(model[key], 0, key)
        self.assertLessEqual(model["gather_share"], 1)

    def test_the_profile_has_every_operator(self):
        text = self.assert_runs(self.run_model("--repeat", 3, "--profile", options=["--json"]))
        profile = {row["operator"]: row["count"] for row in json.loads(text)["model"]["profile"]}
        self.assertEqual(profile, {"AllGather": 3, "Relu": 3})
        shown = self.assert_runs(self.run_model("--repeat", 3, "--profile"))
        self.assertRegex(shown, r"AllGather +3 ")
        self.assertFalse([name for name in os.listdir(self.directory) if "profile" in name])

    def test_the_profile_needs_no_temporary_directory_and_leaves_nothing(self):
        self.environment["XDG_RUNTIME_DIR"] = self.directory
        self.environment["TMPDIR"] = self.path("nowhere")
        self.assert_runs(self.run_model("--profile"))
        self.save("wide.npy", numpy.ones([3, 5], "float32"))
        self.assertEqual(self.run_model("--profile", x="wide.npy").returncode, 125)
        self.assertEqual(sorted(os.listdir(self.directory)), ["model.onnx", "wide.npy", "x.npy"])

    def test_names_cannot_reach_the_terminal_as_commands(self):
        name = "\x1b[2Jy"
        model = self.write("escape.onnx", network(
            [helper.make_node("Relu", ["x"], [name])],
            {"x": (TensorProto.FLOAT, [3, 4])}, {name: (TensorProto.FLOAT, [3, 4])}))
        text = self.assert_runs(self.run_model("--output", self.path("out"), model=model))
        self.assertNotIn("\x1b", text)
        self.assertRegex(text, r"\?\[2Jy +float32 +\[3,4\] +.*/\?\[2Jy.npy")

    def test_an_output_whose_name_is_no_utf_8(self):
        with open(self.model, "rb") as file:
            content = file.read()
        with open(self.path("latin.onnx"), "wb") as file:
            file.write(content.replace(b"\x01y", b"\x01\xff"))
        self.assert_runs(self.run_model(model=self.path("latin.onnx")))

    def test_help_has_its_options(self):
        self.assertIn("--repeat", self.muster("run", "-n", 2, self.model, "--help").stdout)
        self.assertIn("MODEL.onnx", self.muster("run", "--help").stdout)


class Refused(RunModel):
    def assert_refused_by_ranks(self, text, result):
        self.assertEqual(result.returncode, 125, result.stdout)
        self.assertIn(text, result.stderr)

    def test_an_input_of_another_shape(self):
        self.save("wide.npy", numpy.ones([3, 5], "float32"))
        self.assert_refused_by_ranks("input 'x' has shape [batch, 4]; ", self.run_model(x="wide.npy"))
        self.save("flat.npy", numpy.ones([4], "float32"))
        self.assert_refused_by_ranks("has [4]", self.run_model(x="flat.npy"))

    def test_an_input_of_another_type(self):
        self.save("double.npy", numpy.ones([3, 4]))
        self.assert_refused_by_ranks("input 'x' is float32, for which a file has type f4; ",
                                     self.run_model(x="double.npy"))

    def test_extents_of_one_name_that_differ(self):
        model = self.write("two.onnx", network(
            [helper.make_node("Concat", ["x", "z"], ["y"], axis=1)],
            {"x": (TensorProto.FLOAT, ["batch", 4]), "z": (TensorProto.FLOAT, ["batch", 1])},
            {"y": (TensorProto.FLOAT, None)}))
        z = self.save("z.npy", numpy.ones([2, 1], "float32"))
        self.assert_refused_by_ranks("'batch' is 3 in input 'x' and 2 in input 'z'",
                                     self.run_model(f"--input=z={z}", model=model))

    def test_an_input_that_is_missing_or_not_the_models(self):
        self.assert_refused_by_ranks("input 'x' [batch, 4] is missing", self.run_model(x=None))
        self.assert_refused_by_ranks("the model has no input 'z'; its inputs are x",
                                     self.run_model(f"--input=z={self.path('x.npy')}"))
        self.assert_refused_by_ranks("input 'x' is given twice",
                                     self.run_model(f"--input=x={self.path('x.npy')}"))

    def test_files_that_are_not_there_before_any_rank_starts(self):
        self.assert_refused(self.run_model(x="none.npy"), "none.npy")
        self.assert_refused(self.run_model(model=self.path("none.onnx")), "none.onnx")
        os.mkdir(self.path("empty"))
        self.assert_refused(self.run_model(model=self.path("empty")), "empty/rank0.onnx")
        self.assert_refused(self.run_model(x="empty"), "empty is no regular file")
        os.symlink("circle.onnx", self.path("circle.onnx"))
        self.assert_refused(self.run_model(model=self.path("circle.onnx")), "Too many levels")

    def test_options_that_are_none(self):
        self.assert_refused(self.run_model("--input=x"), "NAME=FILE.npy")
        self.assert_refused(self.run_model("--repeat=0"), "--repeat")
        self.assert_refused(self.run_model("--nonsense"), "--nonsense")

    def test_files_that_are_no_arrays(self):
        def refused(content, text):
            with open(self.path("bad.npy"), "wb") as file:
                file.write(content)
            self.assert_refused_by_ranks(text, self.run_model(x="bad.npy"))
        with open(self.path("x.npy"), "rb") as file:
            good = file.read()
        refused(b"nonsense", "is no .npy file")
        refused(good[:-5], "is cut short")
        refused(good[:40], "is no .npy file")
        refused(good.replace(b"(3, 4)", b"(9999999999999999, 4)"), "bad.npy")
        refused(npy("(99999999999, 4)"), "bad.npy: is cut short")
        refused(npy("(%s)" % ("1, " * 9)), "bad.npy: has a shape")
        refused(npy("(3, 4)", type="<f4" + "4" * 9_900, length=10_000), "is no .npy file")
        refused(npy("(3, 4)", length=20_000), "its header would have 20000 bytes")
        refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + good[10:],
                "its header would have 4294967295 bytes")
        refused(b"\x93NUMPY\x01\x00\x02\x00 \n", "its header is empty")
        self.save("bad.npy", numpy.asfortranarray(self.x))
        self.assert_refused_by_ranks("Fortran", self.run_model(x="bad.npy"))
        self.save("bad.npy", self.x.astype(">f4"))
        self.assert_refused_by_ranks("big-endian", self.run_model(x="bad.npy"))

    def test_models_that_are_none(self):
        with open(self.model, "rb") as file:
            good = file.read()
        for content in (b"", b"nonsense", good[:len(good) // 2]):
            with open(self.path("bad.onnx"), "wb") as file:
                file.write(content)
            result = self.run_model(model=self.path("bad.onnx"))
            self.assertEqual(result.returncode, 125, result.stderr)
            self.assertIn("muster: ", result.stderr)

    def test_the_model_of_another_rank(self):
        self.write_sharded(2)
        for given, other in ((0, 1), (1, 0)):
            model = self.path(f"sharded/rank{given}.onnx")
            self.assert_refused_by_ranks(
                f"{model} is for rank {given} of 2, and this is rank {other} of 2: give -n 2 and the "
                f"directory that `muster shard` made ({self.path('sharded')})",
                self.run_model(model=model))

    def test_a_directory_for_more_or_fewer_ranks(self):
        self.write_sharded(2)
        self.assert_refused_by_ranks("is for rank 0 of 2, and this is rank 0 of 1: give -n 2",
                                     self.run_model(model=self.path("sharded"), ranks=1))
        self.assert_refused(self.run_model(model=self.path("sharded"), ranks=3),
                            "there is no " + self.path("sharded/rank2.onnx"))

    def test_an_output_that_cannot_be_written(self):
        os.makedirs(self.path("out/y.npy"))
        self.assert_refused_by_ranks("Is a directory", self.run_model("--output", self.path("out")))
        self.assertEqual(os.listdir(self.path("out")), ["y.npy"])
        self.assert_refused_by_ranks("x.npy", self.run_model("--output", self.path("x.npy")))

    def test_outputs_of_one_file_before_the_first_run(self):
        model = self.write("two.onnx", network(
            [helper.make_node("Relu", ["x"], ["a/b"]), helper.make_node("Neg", ["x"], ["a_b"])],
            {"x": (TensorProto.FLOAT, [3, 4])},
            {name: (TensorProto.FLOAT, [3, 4]) for name in ("a/b", "a_b")}))
        self.assert_refused_by_ranks(
            "outputs 'a/b' and 'a_b' would both be written to",
            self.run_model("--output", self.path("out"), model=model))
        self.assertFalse(os.path.exists(self.path("out")))
        self.assert_runs(self.run_model(model=model))

    def test_outputs_that_no_file_holds(self):
        sequence = network([helper.make_node("SequenceConstruct", ["x"], ["y"])],
                           {"x": (TensorProto.FLOAT, [3, 4])}, {"y": (TensorProto.FLOAT, None)})
        sequence.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(
            helper.make_tensor_type_proto(TensorProto.FLOAT, [3, 4])))
        self.assert_refused_by_ranks("output 'y' is no tensor",
                                     self.run_model(model=self.write("sequence.onnx", sequence)))
        text = self.write("text.onnx", network(
            [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)],
            {"x": (TensorProto.FLOAT, [3, 4])}, {"y": (TensorProto.STRING, [3, 4])}))
        self.assert_refused_by_ranks("'y' has elements of string",
                                     self.run_model("--output", self.path("out"), model=text))
        self.assertRegex(self.assert_runs(self.run_model(model=text)), r"y +string +\[3,4\]")

    def test_an_engine_that_is_none(self):
        self.environment["MUSTER_ONNXRUNTIME"] = "/nowhere/libonnxruntime.so"
        self.assert_refused_by_ranks("no ONNX Runtime", self.run_model())

    def test_a_setting_that_is_none_by_one_name(self):
        self.environment["MUSTER_ARENA_BYTES"] = "many"
        self.assert_refused_by_ranks("MUSTER_ARENA_BYTES", self.run_model())
        self.assertNotIn("muster: muster: ", self.run_model().stderr)

    def test_messages_never_have_names_that_the_terminal_takes_as_commands(self):
        escape = "\x1b[2J"
        inputs = {f"{escape}x": (TensorProto.FLOAT, [f"{escape}batch", 4]),
                  f"{escape}z": (TensorProto.FLOAT, [f"{escape}batch", 1])}
        concat = helper.make_node("Concat", list(inputs), [f"{escape}c"], axis=1)
        gather = all_gather(f"{escape}c", f"{escape}y", gather_dim=0)
        model = network([concat, gather], inputs, {f"{escape}y": (TensorProto.FLOAT, None)})
        path = self.write("escape.onnx", model)
        helper.set_model_props(model, {"muster.rank": escape, "muster.ranks": escape})
        of_another_rank = self.write("rank.onnx", model)
        unknown = self.write("unknown.onnx", network(
            [helper.make_node(f"{escape}Relu", ["x"], ["y"])],
            {"x": (TensorProto.FLOAT, [3, 4])}, {"y": (TensorProto.FLOAT, [3, 4])}))
        self.save("x0.npy", self.x)
        self.save("x1.npy", self.x[:2])
        for rank in range(2):
            self.save(f"z{rank}.npy", numpy.ones([3 - rank, 1], "float32"))
        for text, x, z, loaded in (
                ("input '?[2Jz' has shape [?[2Jbatch, 1]", "x0", "x0", path),
                ("'?[2Jbatch' is 3 in input '?[2Jx'", "x0", "z1", path),
                ("the model's input '?[2Jz' [?[2Jbatch, 1] is missing", "x0", None, path),
                ("'?[2Jy_node'", "x{rank}", "z{rank}", path),
                ("is for rank ?[2J of ?[2J", None, None, of_another_rank),
                ("?[2JRelu", None, None, unknown)):
            with self.subTest(text=text):
                given = [f"--input={escape}{name}={self.path(file)}.npy"
                         for name, file in (("x", x), ("z", z)) if file]
                result = self.run_model(*given, model=loaded, x=None)
                self.assert_refused_by_ranks(text, result)
                self.assertNotIn("\x1b", result.stderr)

    def test_sections_that_ranks_disagree_about(self):
        for rank in range(2):
            self.save(f"x{rank}.npy", numpy.ones([3 + rank, 4], "float32"))
        self.assert_refused_by_ranks("'y_node'", self.run_model(x="x{rank}.npy"))


if __name__ == "__main__":
    unittest.main()

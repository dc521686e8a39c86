"""Files that shard reads and writes: external data, damaged and hostile models, no room."""
import os
import random
import resource
import shutil
import signal
import time
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import rank_models
from rules_test import make, node, value, weight
from shard_case import ShardTest


def two_layers():
    """Weights of 2000 and 3600 bytes, and a small bias."""
    return make([node("MatMul", ["x", "W"], "y"), node("Add", ["y", "b"], "s"),
                 node("MatMul", ["s", "V"], "z")],
                [value("x", [2, 50])], [value("z", [2, 90])],
                [weight(50, 10), weight(10, name="b"), weight(10, 90, name="V", seed=4)])


X = {"x": np.random.default_rng(3).standard_normal([2, 50]).astype(np.float32)}


class ExternalData(ShardTest):
    def check_directory(self, directory):
        rank_models.check(directory)
        expected = rank_models.run(two_layers(), X)
        for outputs in rank_models.run_ranks(rank_models.load(directory), X):
            self.assertLess(rank_models.largest_difference(outputs[0], expected[0]), 1e-5)

    def test_is_read_from_files_of_its_own_and_written_to_such(self):
        for options in ({"all_tensors_to_one_file": True, "location": "all.bin"},
                        {"all_tensors_to_one_file": False}):
            with self.subTest(**options):
                path = self.save(two_layers(), save_as_external_data=True, size_threshold=0,
                                 **options)
                directory, _ = self.shard(path, 3)
                self.check_directory(directory)
                self.assertEqual(sorted(os.listdir(directory)), sorted(
                    f"rank{r}.onnx{data}" for r in range(3) for data in ("", ".data")))

    def test_is_written_where_a_model_would_be_too_large(self):
        directory, _ = self.shard(two_layers(), 2, "--inline-limit", 1000)
        self.check_directory(directory)
        self.assertTrue(os.path.exists(f"{directory}/rank1.onnx.data"))
        model = onnx.load(f"{directory}/rank1.onnx", load_external_data=False)
        where = {t.name: t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer}
        self.assertEqual(where, {"W/shard": False, "b/shard": False, "V/shard": True})

    def test_of_inner_graphs_is_copied(self):
        inner = weight(300, name="inner")
        branches = [helper.make_graph([node("Mul", ["z", "inner"], name)], name, [],
                                      [value(name, [2, 300])], [inner])
                    for name in ("then", "else")]
        model = make([node("MatMul", ["x", "W"], "z"),
                      node("If", ["c"], "o", then_branch=branches[0], else_branch=branches[1])],
                     [value("x", [2, 50]), value("c", [], TensorProto.BOOL)],
                     [value("o", [2, 300])], [weight(50, 300)])
        inputs = {**X, "c": np.array(True)}
        expected = rank_models.run(model, inputs)[0]
        for branch in (0, 1):
            tensor = model.graph.node[1].attribute[branch].g.initializer[0]
            with open(f"{self.directory}/inner{branch}", "wb") as file:
                file.write(b"four" + tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, text in (("location", f"inner{branch}"), ("offset", "4")):
                tensor.external_data.add(key=key, value=text)
        directory, _ = self.shard(self.save(model), 3)
        outputs = rank_models.run_ranks(rank_models.load(directory), inputs)
        self.assertLess(rank_models.largest_difference(outputs[2][0], expected), 1e-5)

    def test_above_2_gib(self):
        if shutil.disk_usage(self.directory).free < 8 << 30:
            self.skipTest("needs 8 GiB of disk")
        rows, columns = 8, 75_000_001  # 2.2 GiB, 1.1 for each of two ranks
        shape = (rows, columns)
        whole = np.memmap(f"{self.directory}/weights", np.float32, "w+", shape=shape)  # sparse
        places = [(r, c) for r in (0, 3, 7) for c in (0, columns // 2 - 1, columns // 2, columns - 1)]
        for i, place in enumerate(places):
            whole[place] = i + 1
        whole.flush()
        tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=shape,
                             data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="weights")
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [1, rows])],
                     [value("y", [1, columns])], [tensor])
        directory, _ = self.shard(self.save(model), 2)
        ranks = onnx.load(f"{directory}/rank0.onnx", load_external_data=False), onnx.load(
            f"{directory}/rank1.onnx", load_external_data=False)
        for rank, (model, begin) in enumerate(zip(ranks, (0, columns // 2))):
            part = model.graph.initializer[0]
            offset = int({e.key: e.value for e in part.external_data}["offset"])
            section = np.memmap(f"{directory}/rank{rank}.onnx.data", np.float32, "r", offset,
                                tuple(part.dims))
            for row, column in places:
                if 0 <= column - begin < part.dims[1]:
                    self.assertEqual(section[row, column - begin], whole[row, column])
            self.assertEqual(np.count_nonzero(section), len(places) // 2)


class Refuses(ShardTest):
    def check_refused(self, model, *texts, ranks=2):
        path = model if isinstance(model, str) else self.save(model)
        output = os.path.join(self.directory, "output")
        before = sorted(os.listdir(self.directory))
        result = self.muster("shard", path, "-n", ranks, "-o", output)
        for text in texts:
            self.assert_refused(result, text)
        self.assertEqual(sorted(os.listdir(self.directory)), before)

    def file(self, content):
        path = os.path.join(self.directory, "file.onnx")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_what_is_no_model(self):
        self.check_refused(os.path.join(self.directory, "absent.onnx"), "absent.onnx", "No such file")
        self.check_refused(self.directory, "not a regular file")
        self.check_refused(self.file(b""), "not an ONNX model")
        self.check_refused(self.file(b"\x08\x08"), "not an ONNX model")
        self.check_refused(self.file(b"no model at all"), "file.onnx", "not an ONNX model")
        os.mkfifo(os.path.join(self.directory, "pipe"))
        self.check_refused(os.path.join(self.directory, "pipe"), "not a regular file")

    def test_truncated_models(self):
        content = two_layers().SerializeToString()
        for length in range(1, len(content), 97):
            result = self.muster("shard", self.file(content[:length]), "-n", 2, "--dry-run")
            self.assertIn(result.returncode, (0, 125), result.stderr)

    def test_damaged_models_without_a_crash(self):
        """Any answer but a crash will do: not all damage can be seen."""
        source = random.Random(5)
        content = two_layers().SerializeToString()
        for _ in range(300):
            damaged = bytearray(content)
            for _ in range(source.randint(1, 8)):
                damaged[source.randrange(400)] = source.randrange(256)
            output = os.path.join(self.directory, "output")
            result = self.muster("shard", self.file(damaged), "-n", 2, "-o", output)
            self.assertIn(result.returncode, (0, 125), result.stderr)
            self.assertEqual(os.path.exists(output), result.returncode == 0)
            shutil.rmtree(output, ignore_errors=True)

    def test_tensors_that_are_not_what_their_shape_says(self):
        for dims, data, text in (([50, 10], b"1234", 'tensor "W": has 4 bytes'),
                                 ([50, -10], b"1234", "negative extent"),
                                 ([1 << 62, 1 << 62], b"", "too large to exist"),
                                 ([1 << 62, 3], b"", "too large to exist"),
                                 ([1 << 33, 1 << 26], b"", "too large to exist"),
                                 ([1 << 20, 10], b"", "41943040")):
            model = two_layers()
            model.graph.initializer[0].raw_data = data
            model.graph.initializer[0].dims[:] = dims
            self.check_refused(model, "model.onnx", text)
        model = two_layers()
        model.graph.initializer[1].CopyFrom(
            TensorProto(name="b", data_type=TensorProto.FLOAT, dims=[10], float_data=[1, 2]))
        self.check_refused(model, 'tensor "b": has 8 bytes of data where its shape needs 40')

    def test_graphs_that_make_no_sense(self):
        model = two_layers()
        model.graph.node.insert(0, model.graph.node.pop())
        self.check_refused(model, 'uses "s", which nothing before it makes')
        model = two_layers()
        model.graph.node[0].input[0] = "z"  # a circle
        self.check_refused(model, 'uses "z", which nothing before it makes')
        model = two_layers()
        model.graph.node[2].output[0] = "y"
        self.check_refused(model, '"y" is made twice')
        model = two_layers()
        model.graph.initializer[2].name = "W"
        self.check_refused(model, 'two initializers are called "W"')
        model = two_layers()
        model.graph.output[0].name = "nowhere"
        self.check_refused(model, 'nothing makes the output "nowhere"')

    def test_graphs_inside_graphs_without_end(self):
        def field(number, content):
            size, length = len(content), b""
            while size > 127:
                length += bytes([size & 127 | 128])
                size >>= 7
            return bytes([number << 3 | 2]) + length + bytes([size]) + content

        graph = b""
        for _ in range(1000):
            graph = field(1, field(5, field(6, graph)))  # node, attribute, g
        self.check_refused(self.file(field(7, graph)), "not an ONNX model, or a damaged one")

    def test_external_data_that_are_not_there(self):
        secret = os.path.join(os.path.dirname(self.directory), "secret")
        for entries, text in (({}, "no place in the model's folder"),
                              ({"location": "../secret"}, "no place in the model's folder"),
                              ({"location": "a/../../secret"}, "no place in the model's folder"),
                              ({"location": secret}, "no place in the model's folder"),
                              ({"location": "/etc/passwd"}, "no place in the model's folder"),
                              ({"location": "absent"}, "absent: No such file"),
                              ({"location": "."}, "not a regular file"),
                              ({"location": "data", "offset": "1"}, "which has 2000"),
                              ({"location": "data", "offset": "-1"}, 'offset "-1"'),
                              ({"location": "data", "offset": str(2**64)}, "offset"),
                              ({"location": "data", "offset": str(2**64 - 1)}, "which has 2000"),
                              ({"location": "data", "length": "1999"}, "1999 bytes"),
                              ({"location": "data", "length": "x"}, 'length "x"')):
            with self.subTest(**entries):
                model = two_layers()
                tensor = model.graph.initializer[0]
                with open(os.path.join(self.directory, "data"), "wb") as file:
                    file.write(tensor.raw_data)
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                for key, text_value in entries.items():
                    tensor.external_data.add(key=key, value=text_value)
                self.check_refused(model, 'tensor "W"', text)

    def test_what_would_not_compute_the_same(self):
        model = two_layers()
        model.graph.node.append(helper.make_node("RandomNormal", [], ["r"], shape=[2], name="dice"))
        self.check_refused(model, '"dice" (RandomNormal) draws random numbers')
        model.graph.node[-1].attribute.append(helper.make_attribute("seed", 1.0))
        self.shard(model, 2)

    def test_a_model_that_is_split_already(self):
        directory, _ = self.shard(two_layers(), 2)
        self.check_refused(f"{directory}/rank0.onnx", "one of muster's already")

    def test_an_output_that_is_there(self):
        path = self.save(two_layers())
        taken = os.path.join(self.directory, "taken")
        os.mkdir(taken)
        self.assertEqual(self.muster("shard", path, "-n", 2, "-o", taken + "/").returncode, 0)
        self.assert_refused(self.muster("shard", path, "-n", 2, "-o", taken), "it is there already")
        self.assert_refused(self.muster("shard", path, "-n", 2, "-o", path), "it is there already")
        link = os.path.join(self.directory, "link")
        os.symlink("nowhere", link)
        self.assert_refused(self.muster("shard", path, "-n", 2, "-o", link), "it is there already")
        os.unlink(link)
        missing = os.path.join(self.directory, "missing", "output")
        self.assert_refused(self.muster("shard", path, "-n", 2, "-o", missing), "No such file")
        self.assertEqual(sorted(os.listdir(self.directory)), ["model.onnx", "taken"])

    def test_to_leave_anything_in_an_empty_directory(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        path, empty = self.save(two_layers()), os.path.join(self.directory, "empty")
        os.mkdir(empty)
        result = self.muster("shard", path, "-n", 2, "-o", empty, preexec_fn=limit)
        self.assert_refused(result, "File too large")
        self.assertEqual(os.listdir(empty), [])

    def test_sizes_that_are_none(self):
        for option in ("--min-bytes", "--inline-limit"):
            for size in ("-1", "", "99999999999999999999", "1k"):
                with self.subTest(option=option, size=size):
                    self.assert_refused(self.muster("shard", "model.onnx", "-n", 2, "--dry-run",
                                                    f"{option}={size}"), option)

    def test_no_output_and_no_dry_run(self):
        self.assert_refused(self.muster("shard", self.save(two_layers()), "-n", 2), "-o DIRECTORY")

    def test_to_leave_a_half_written_directory(self):
        """A limit on files' sizes stands for a disk that is full: the write fails."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        large = make([node("MatMul", ["x", "W"], "y")], [value("x", [1, 4])],
                     [value("y", [1, 1 << 20])], [weight(4, 1 << 20)])
        for model, arguments in ((two_layers(), []), (two_layers(), ["--inline-limit", 0]),
                                 (large, [])):
            path = self.save(model)
            output = os.path.join(self.directory, "output")
            result = self.muster("shard", path, "-n", 2, "-o", output, *arguments, preexec_fn=limit)
            self.assert_refused(result, "rank0.onnx")
            self.assertIn("File too large", result.stderr)
            self.assertEqual(os.listdir(self.directory), ["model.onnx"])


    def test_to_leave_a_half_written_directory_behind_a_signal(self):
        """Sixteen ranks with 16 MiB each: it is at that for long enough to be found there."""
        model = make([node("MatMul", ["x", "W"], "y")], [value("x", [1, 4])],
                     [value("y", [1, 1 << 20])], [weight(4, 1 << 20)])
        path = self.save(model)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = sorted(os.listdir(self.directory))
            shard = self.start("shard", path, "-n", 16, "-o", f"{self.directory}/output",
                               "--only", "nothing")
            while shard.poll() is None and sorted(os.listdir(self.directory)) == before:
                time.sleep(0.001)
            shard.send_signal(number)
            _, stderr = shard.communicate(timeout=60)
            self.assertEqual(shard.returncode, -number, stderr)
            self.assertEqual(sorted(os.listdir(self.directory)), before)


class Output(ShardTest):
    FILES = ["rank0.onnx", "rank1.onnx"]

    def setUp(self):
        super().setUp()
        self.model = self.save(two_layers())
        self.output = os.path.join(self.directory, "output")

    def write_to(self, output, **options):
        result = self.muster("shard", self.model, "-n", 2, "-o", output, **options)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_an_empty_directory_is_kept_and_filled(self):
        os.mkdir(self.output)
        os.chmod(self.output, 0o2750)
        before = os.stat(self.output)
        self.write_to(self.output + "/")
        after = os.stat(self.output)
        self.assertEqual((after.st_ino, after.st_mode), (before.st_ino, before.st_mode))
        self.assertEqual(sorted(os.listdir(self.output)), self.FILES)

    def test_an_empty_directory_may_be_the_current_one_or_behind_a_link(self):
        os.mkdir(self.output)
        self.write_to(".", cwd=self.output)
        self.assertEqual(sorted(os.listdir(self.output)), self.FILES)
        shutil.rmtree(self.output)
        os.mkdir(self.output)
        os.symlink("output", os.path.join(self.directory, "link"))
        self.write_to("link", cwd=self.directory)
        self.assertEqual(sorted(os.listdir(self.output)), self.FILES)

    def test_a_path_through_a_link_is_where_the_system_says(self):
        os.makedirs(os.path.join(self.directory, "far", "folder"))
        os.symlink("far/folder", os.path.join(self.directory, "link"))
        self.write_to("link/../output", cwd=self.directory)
        self.assertEqual(sorted(os.listdir(os.path.join(self.directory, "far/output"))), self.FILES)
        self.assertFalse(os.path.exists(self.output))

    def test_each_model_says_which_rank_it_is_for(self):
        def metadata(directory):
            return [{entry.key: entry.value for entry in model.metadata_props}
                    for model in rank_models.load(directory)]

        model = two_layers()
        helper.set_model_props(model, {"author": "somebody"})
        directory, _ = self.shard(model, 2, "--only", "nothing")
        self.assertEqual(metadata(directory), [
            {"author": "somebody", "muster.rank": rank, "muster.ranks": "2"} for rank in "01"])
        again, _ = self.shard(f"{directory}/rank1.onnx", 3)
        self.assertEqual(metadata(again), [
            {"author": "somebody", "muster.rank": rank, "muster.ranks": "3"} for rank in "012"])
        self.assertEqual(len(rank_models.load(again)[0].metadata_props), 3)


class Reports(ShardTest):
    def test_a_dry_run_writes_nothing_and_shows_a_table(self):
        path = self.save(two_layers())
        result = self.muster("shard", path, "-n", 4, "--dry-run")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(os.listdir(self.directory), ["model.onnx"])
        for text in ("W", "[50,10] float32", "dim 1: 2+3+2+3", "600 B",
                     "22+23+22+23",
                     "2 of 2 nodes split over 4 ranks, 2 AllGather nodes added", "nothing was written"):
            self.assertIn(text, result.stdout)

    def test_bytes_are_those_in_the_ranks_files(self):
        directory, report = self.shard(two_layers(), 4)
        self.assertEqual(report["bytes"]["weights"], 4 * (500 + 10 + 900))
        for rank, model in enumerate(rank_models.load(directory)):
            held = sum(numpy_helper.to_array(t).nbytes for t in model.graph.initializer)
            self.assertEqual(report["bytes"]["by_rank"][rank], held)
        self.assertEqual(report["bytes"]["on_every_rank"], 0)

    def test_help_says_that_a_pattern_is_one(self):
        self.assertRegex(self.muster("shard", "--help").stdout, r"--only PATTERN +Split")

    def test_names_cannot_reach_the_terminal_as_commands(self):
        model = two_layers()
        model.graph.node[0].name = "\x1b[2J\u009b2Jname"
        result = self.muster("shard", self.save(model), "-n", 2, "--dry-run")
        self.assertNotIn("\x1b", result.stdout)
        self.assertNotIn("\u009b", result.stdout)


if __name__ == "__main__":
    unittest.main()

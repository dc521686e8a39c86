"""Sessions: many, at once, in turn; their memory. Every rank of a job runs all of this."""
import ctypes
import os
import threading
import time
import unittest

import numpy
import onnxruntime
from onnx import TensorProto, helper

from network import (MICROSOFT, MUSTER, RANK, SIZE, WORLD, all_gather, gather_network, network,
                     options, random_array, session)


class Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "gathers", "output_bytes", "nanoseconds", "outputs_in_arena", "sections_in_arena")]


def statistics():
    result = Statistics()
    ctypes.CDLL(MUSTER).muster_onnxruntime_statistics(ctypes.byref(result))
    return result


class Numbers(unittest.TestCase):
    def test_sessions_of_one_network_may_run_in_another_order_than_they_were_made(self):
        first, second = (session(gather_network([2], name="n")) for _ in range(2))
        for running, value in ((second, 20), (first, 10), (second, 21)):
            result, = running.run(None, {"x": numpy.full([2], value + RANK, "float32")})
            numpy.testing.assert_array_equal(result, numpy.repeat(value + numpy.arange(SIZE), 2))

    def test_sessions_run_at_the_same_time_in_threads(self):
        model = gather_network([300], name="n")
        sessions = [session(model) for _ in range(4)]
        failed = []

        def work(number):
            for turn in range(50):
                value = 1000 * number + turn
                result, = sessions[number].run(None, {"x": numpy.full([300], value, "float32")})
                if not (result == value).all():
                    failed.append((number, turn))
        threads = [threading.Thread(target=work, args=[i]) for i in range(len(sessions))]
        order = threads if RANK % 2 else threads[::-1]
        for thread in order:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])

    def test_tags_tell_sessions_apart_that_ranks_make_in_another_order(self):
        model = gather_network([2], name="n")
        made = {}
        for tag in ("a", "b")[::1 if RANK % 2 else -1]:
            made[tag] = session(model, options(muster_tag=tag))
        for tag, value in (("a", 1), ("b", 2)):
            result, = made[tag].run(None, {"x": numpy.full([2], value, "float32")})
            numpy.testing.assert_array_equal(result, numpy.full(2 * SIZE, value))

    def test_a_session_that_one_rank_fails_to_make_does_not_disturb_the_next(self):
        model = gather_network([2], name="n")
        if RANK == SIZE - 1:
            with self.assertRaises(Exception):
                onnxruntime.InferenceSession(b"no model", options())
            time.sleep(1)  # its next session would be the one that the others wait for
        elif SIZE > 1:
            impatient = session(model, options(muster_timeout__ms="200"))
            with self.assertRaisesRegex(Exception, f"timeout.*rank {SIZE - 1}"):
                impatient.run(None, {"x": numpy.ones([2], "float32")})
        result, = session(model).run(None, {"x": numpy.ones([2], "float32")})
        numpy.testing.assert_array_equal(result, numpy.ones(2 * SIZE))


class Leaks(unittest.TestCase):
    @staticmethod
    def used():
        with open("/proc/self/maps", encoding="ascii") as file:
            maps = sum(1 for _ in file)
        with open("/proc/self/status", encoding="ascii") as file:
            kib = {line.split()[0]: int(line.split()[1]) for line in file
                   if line.startswith(("RssAnon", "RssShmem"))}
        return {"descriptors": len(os.listdir("/proc/self/fd")),
                "maps": maps, "anonymous": kib["RssAnon:"], "shared": kib["RssShmem:"]}

    def test_200_sessions_leave_nothing_behind(self):
        model = network([helper.make_node("Relu", ["x"], ["r"]),
                         all_gather("r", "a", gather_dim=1), all_gather("a", "y", gather_dim=0)],
                        {"x": (TensorProto.FLOAT, [30, 1000])}, {"y": (TensorProto.FLOAT, None)})
        x = numpy.ones([30, 1000], "float32")
        before = None
        for i in range(220):
            result, = session(model).run(None, {"x": x})
            self.assertEqual(result.shape, (30 * SIZE, 1000 * SIZE))
            if i == 19:
                before = self.used()
        after = self.used()
        self.assertLessEqual(after["descriptors"], before["descriptors"])
        self.assertLess(after["maps"], before["maps"] + 10)
        self.assertLess(after["anonymous"], before["anonymous"] + 8000)
        # Where in the arena sessions lie varies at first; 2000 sessions took no more than 400.
        self.assertLess(after["shared"], before["shared"] + 4000)


@unittest.skipIf(SIZE == 1, "a rank alone has nobody to push to it")
class Arena(unittest.TestCase):
    """Where tensors lie, and which route their gathers take."""
    SHAPE = [8, 5000]

    def counted(self, session_options=None):
        """Of a gather between two other operators: was its output, its section in the arena?"""
        model = network([helper.make_node("Neg", ["x"], ["section"]),
                         all_gather("section", "whole", gather_dim=1),
                         helper.make_node("Neg", ["whole"], ["y"])],
                        {"x": (TensorProto.FLOAT, self.SHAPE)}, {"y": (TensorProto.FLOAT, None)})
        running = session(model, session_options)
        sections = [random_array(rank, self.SHAPE) for rank in WORLD]
        before = statistics()
        for _ in range(3):
            result, = running.run(None, {"x": sections[RANK]})
            numpy.testing.assert_array_equal(result, numpy.concatenate(sections, 1))
        after = statistics()
        self.assertEqual(after.gathers - before.gathers, 3)
        self.assertEqual(after.output_bytes - before.output_bytes, 3 * 4 * 8 * 5000 * SIZE)
        self.assertGreater(after.nanoseconds, before.nanoseconds)
        return (after.outputs_in_arena - before.outputs_in_arena,
                after.sections_in_arena - before.sections_in_arena)

    def test_activations_lie_in_it_without_any_help(self):
        self.assertEqual(self.counted(), (3, 3))

    def test_an_application_can_opt_out(self):
        self.assertEqual(self.counted(options(session_use__env__allocators="0")), (0, 0))

    def test_memory_patterns_off(self):
        session_options = options()
        session_options.enable_mem_pattern = False
        self.assertEqual(self.counted(session_options), (3, 3))

    def test_results_stay_valid_when_their_session_is_gone(self):
        result, = session(gather_network(self.SHAPE, gather_dim=1)).run(
            None, {"x": numpy.full(self.SHAPE, RANK, "float32")})
        self.assertEqual(set(result.flatten()), set(map(float, WORLD)))

    def test_tensors_may_be_freed_in_another_thread(self):
        model = gather_network(self.SHAPE, gather_dim=1)
        kept = [session(model).run(None, {"x": numpy.ones(self.SHAPE, "float32")})]
        thread = threading.Thread(target=kept.clear)
        thread.start()
        thread.join()

    def test_a_forked_child_may_end_with_the_sessions_it_inherited(self):
        running = session(gather_network(self.SHAPE, gather_dim=1))
        result = running.run_with_ort_values(
            ["y"], {"x": onnxruntime.OrtValue.ortvalue_from_numpy(
                numpy.ones(self.SHAPE, "float32"))})
        child = os.fork()
        if child == 0:
            del result
            os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)


class Microsoft(unittest.TestCase):
    """The engine's own collective, in a library of its own."""

    def gather(self, x, **attributes):
        model = gather_network(list(x.shape), domain="com.microsoft", **attributes)
        return session(model, options(libraries=(MICROSOFT,))).run(None, {"x": x})[0]

    def test_an_exported_graph_runs(self):
        sections = [random_array(rank, [2, 3]) for rank in WORLD]
        for axis in (0, 1):
            result = self.gather(sections[RANK], group_size=SIZE, axis=axis)
            numpy.testing.assert_array_equal(result, numpy.concatenate(sections, axis))

    def test_without_axis_it_gathers_along_dimension_1(self):
        result = self.gather(numpy.ones([2, 3], "float32"), group_size=SIZE)
        self.assertEqual(result.shape, (2, 3 * SIZE))

    def test_a_group_of_another_size_is_refused(self):
        with self.assertRaisesRegex(
                Exception, f"com.microsoft::AllGather.*'group_size' is {SIZE + 1}.*{SIZE} ranks"):
            self.gather(numpy.ones([2, 3], "float32"), group_size=SIZE + 1)

    def test_both_libraries_serve_one_network(self):
        model = network([all_gather("x", "a", domain="com.microsoft", group_size=SIZE, axis=0),
                         all_gather("a", "y", gather_dim=1)],
                        {"x": (TensorProto.FLOAT, [1, 1])}, {"y": (TensorProto.FLOAT, None)})
        result, = session(model, options(libraries=(MUSTER, MICROSOFT))).run(
            None, {"x": numpy.full([1, 1], RANK, "float32")})
        expected = numpy.repeat(numpy.arange(SIZE), SIZE).reshape(SIZE, SIZE)
        numpy.testing.assert_array_equal(result, expected)


if __name__ == "__main__":
    unittest.main(failfast=True)

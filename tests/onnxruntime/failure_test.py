"""What every rank is told when ranks do not agree. Every rank of a job of two or more runs this."""
import threading
import time
import unittest

import numpy
from onnx import TensorProto, helper

from network import (RANK, SIZE, WORLD, all_gather, gather_network, network, options, session)


def run(model, shape, session_options=None):
    return session(model, session_options).run(None, {"x": numpy.ones(shape, "float32")})


class Disagreement(unittest.TestCase):
    """In each test rank 1 is wrong."""

    def tearDown(self):  # whatever happened: a new session works
        result, = run(gather_network([2]), [2])
        numpy.testing.assert_array_equal(result, numpy.ones(2 * SIZE))

    def assert_told(self, pattern, call, within=10):
        began = time.monotonic()
        with self.assertRaisesRegex(Exception, pattern):
            call()
        self.assertLess(time.monotonic() - began, within)

    def test_input_shapes_that_differ_are_named_with_node_and_ranks_everywhere(self):
        shape = [3, 5] if RANK == 1 else [2, 5]
        model = gather_network(["rows", 5], name="logits", gather_dim=1)
        self.assert_told(r"'logits'.*mismatch.*rank \d.*\[[23], 5\].*rank \d.*\[[23], 5\]",
                         lambda: run(model, shape))

    def test_types_that_differ(self):
        wire_type = "float16" if RANK == 1 else "float32"
        model = gather_network([2, 5], name="logits", wire_type=wire_type)
        self.assert_told(r"'logits'.*mismatch.*float(16|32).*float(16|32)",
                         lambda: run(model, [2, 5]))

    def test_dimensions_that_differ(self):
        model = gather_network([4, 4], name="logits", gather_dim=RANK == 1)
        self.assert_told(r"'logits'.*mismatch.*dimension", lambda: run(model, [4, 4]))

    def test_unequal_sections_without_sizes(self):
        columns = 5 + (RANK == 1)
        model = gather_network([2, columns], name="logits", gather_dim=1)
        self.assert_told(r"'logits'.*mismatch", lambda: run(model, [2, columns]))

    def test_sizes_that_differ_from_what_arrives(self):
        """Only rank 1 can see that its section is not what `sizes` says; the others learn why."""
        columns = 5 + (RANK == 1)
        model = gather_network([2, columns], name="logits", gather_dim=1, sizes=[5] * SIZE)
        self.assert_told(r"'logits'.*rank 1.*\[2, 6\].*extent 5", lambda: run(model, [2, columns]))

    def test_groups_in_another_order(self):
        group = WORLD[::-1] if RANK == 1 else WORLD
        model = gather_network([2], name="logits", group=group)
        self.assert_told(r"'logits'.*mismatch.*group", lambda: run(model, [2]))

    def test_a_group_without_this_rank(self):
        others = [rank for rank in WORLD if rank != 1]
        model = gather_network([2], name="logits", group=others)
        if RANK == 1:
            self.assert_told(r"'logits'.*this is rank 1, which is not in group",
                             lambda: session(model))
        else:
            self.assertEqual(run(model, [2])[0].shape, (2 * len(others),))

    def test_a_group_with_a_rank_outside_the_job(self):
        model = gather_network([2], name="logits", group=[*WORLD, SIZE])
        self.assert_told(rf"'logits'.*has rank {SIZE}, outside the job's {SIZE} ranks",
                         lambda: session(model))

    def test_a_rank_that_runs_another_model_is_named_at_the_timeout(self):
        model = gather_network([2], name="other" if RANK == 1 else "logits")
        impatient = options(muster_timeout__ms="300")
        self.assert_told(r"timeout.*rank 1" if RANK != 1 else r"timeout.*rank 0",
                         lambda: run(model, [2], impatient))

    def test_a_failed_node_fails_at_once_from_then_on(self):
        running = session(gather_network(["rows", 5], name="logits", gather_dim=1))
        x = numpy.ones([3 if RANK == 1 else 2, 5], "float32")
        for within in (10, 1, 1):
            self.assert_told("'logits'.*mismatch", lambda: running.run(None, {"x": x}), within)

    def test_an_output_shape_that_the_network_declares_wrongly_changes_nothing(self):
        """In a network whose shapes the engine cannot infer."""
        extent = 7 if RANK == 1 else 2 * SIZE
        model = network([helper.make_node("Reshape", ["x", "s"], ["section"]),
                         all_gather("section", "y", name="logits")],
                        {"x": (TensorProto.FLOAT, [2]), "s": (TensorProto.INT64, ["n"])},
                        {"y": (TensorProto.FLOAT, [extent])})
        feed = {"x": numpy.ones([2], "float32"), "s": numpy.array([2])}
        result, = session(model).run(None, feed)  # the engine warns of that, no more
        self.assertEqual(result.shape, (2 * SIZE,))


class OneRunAtATime(unittest.TestCase):
    def test_a_second_one_meanwhile_is_refused_and_the_first_goes_on(self):
        running = session(gather_network([2], name="logits"))
        feed = {"x": numpy.ones([2], "float32")}
        if RANK == 0:  # waits in the gather for the others, which come later
            first = []
            thread = threading.Thread(target=lambda: first.append(running.run(None, feed)[0]))
            thread.start()
            time.sleep(0.3)
            with self.assertRaisesRegex(Exception, "'logits'.*one Run at a time a session"):
                running.run(None, feed)
        else:
            time.sleep(1)
            running.run(None, feed)
        if RANK == 0:
            thread.join()
            numpy.testing.assert_array_equal(first[0], numpy.ones(2 * SIZE))


if __name__ == "__main__":
    unittest.main(failfast=True)

"""A real network: the one with which Magika tells kinds of files apart."""
import os
import unittest

import numpy as np
import onnx

import rank_models
from shard_case import ShardTest

MODEL = os.environ["MUSTER_MAGIKA_MODEL"]


class Magika(ShardTest):
    TOLERANCE = 1e-5

    def test_computes_the_same_on_any_number_of_ranks(self):
        model = onnx.load(MODEL)
        name = model.graph.input[0].name
        random = np.random.default_rng(1)
        with open(__file__, "rb") as file:
            text = file.read(2048)
        inputs = {name: np.array([list(text.ljust(2048)), random.integers(0, 257, 2048)], np.int32)}
        for ranks in (1, 2, 3, 4, 7):
            with self.subTest(ranks=ranks):
                models, report = self.check(model, inputs, ranks)
                self.assertEqual(len(rank_models.gathers(models[0])), 0 if ranks == 1 else 3)
                if ranks == 1:
                    continue
                before, largest = report["bytes"]["weights"], max(report["bytes"]["by_rank"])
                self.assertLess(largest, before / ranks * 1.05)

    def test_has_214_labels_that_are_split_unequally(self):
        result, report = self.shard(MODEL, 4)
        sizes = [node["sizes"] for node in report["nodes"]]
        self.assertEqual(sizes, [[16] * 4, [128] * 4, [53, 54, 53, 54]])


if __name__ == "__main__":
    unittest.main()

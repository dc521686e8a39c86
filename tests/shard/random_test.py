"""Random models compute the same, however many ranks they are split over."""
import os
import unittest

import onnx

import rank_models
from random_models import RandomModel
from shard_case import ShardTest

SEEDS = int(os.environ.get("MUSTER_SHARD_SEEDS", "40"))
RANKS = (1, 2, 3, 4, 7)


class RandomModels(ShardTest):
    def check_seeds(self, first, **options):
        split = 0
        for seed in range(first, first + SEEDS):
            random = RandomModel(seed, **options)
            onnx.checker.check_model(random.model, full_check=True)
            for ranks in RANKS:
                with self.subTest(seed=seed, ranks=ranks, **options):
                    models, _ = self.check(random.model, random.inputs, ranks)
                    split += len(rank_models.gathers(models[0]))
        self.assertGreater(split, SEEDS)  # or the test would say nothing

    def test_compute_the_same_on_every_rank(self):
        self.check_seeds(0)

    def test_of_ir_3_whose_initializers_are_inputs_compute_the_same(self):
        self.check_seeds(1000, ir_version=3, opset=13)

    def test_of_many_nodes_compute_the_same(self):
        self.check_seeds(2000, nodes=30)


if __name__ == "__main__":
    unittest.main()

"""What the tests of `muster shard` share."""
import json
import os

import onnx

import rank_models
from command_line import CommandLineTest


class ShardTest(CommandLineTest):
    TOLERANCE = 1e-5  # of a tensor's largest element: sums of float32 in another order

    def save(self, model, name="model.onnx", **options):
        path = os.path.join(self.directory, name)
        onnx.save(model, path, **options)
        return path

    def shard(self, model, ranks, *arguments):
        """Splits a model (or the one in a file); returns the directory and the report."""
        path = model if isinstance(model, str) else self.save(model)
        directory = os.path.join(self.directory, f"ranks{len(os.listdir(self.directory))}")
        result = self.muster("shard", path, "-n", ranks, "-o", directory, "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        self.assertEqual(len(rank_models.load(directory)), ranks)
        return directory, json.loads(result.stdout)

    def check(self, model, inputs, ranks, *arguments):
        """Splits a model, and compares what every rank computes with what the model does."""
        directory, report = self.shard(model, ranks, *arguments)
        if rank_models.is_checkable(model):
            rank_models.check(directory)
        expected = rank_models.run(model, inputs)
        models = rank_models.load(directory)
        for rank, outputs in enumerate(rank_models.run_ranks(models, inputs)):
            self.assertEqual(len(outputs), len(expected))
            for value, actual, wanted in zip(models[rank].graph.output, outputs, expected):
                difference = rank_models.largest_difference(actual, wanted)
                self.assertLessEqual(difference, self.TOLERANCE, (rank, value.name))
        return models, report

"""One process, one rank: the layer shares the world with whoever else in the process joins it."""
import os
import shutil
import sys
import unittest

import onnx

from network import MICROSOFT, MUSTER, gather_network

sys.path.insert(0, os.environ["MUSTER_TOOLS_TESTS"])
from command_line import CommandLineTest  # noqa: E402

ENGINE = os.environ["MUSTER_ONNXRUNTIME_ENGINE"]
PROGRAM = os.environ["MUSTER_ONNXRUNTIME_PROGRAM"]
HERE = os.path.dirname(os.path.abspath(__file__))

TWO_LAYERS = """
import sys
import numpy
from network import *

for library, name in zip(sys.argv[1:], "abab"):
    running = session(gather_network([2], name=name), options(libraries=[library]))
    result, = running.run(None, {"x": numpy.full([2], RANK, "float32")})
    numpy.testing.assert_array_equal(result, numpy.repeat(WORLD, 2))
print("gathered")
"""


class OneWorld(CommandLineTest):
    def ranks_gather(self, *program):
        result = self.muster("run", "-n", 3, "--timeout", 60, "--no-prefix", "--", *program)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.split(), ["gathered"] * 3)

    @unittest.skipUnless(ENGINE, "the engine's library is not here, only its headers")
    def test_a_program_gathers_and_runs_a_session_whoever_joins_first(self):
        model = os.path.join(self.directory, "model.onnx")
        onnx.save(gather_network([1]), model)
        for first in ("program", "layer"):
            with self.subTest(first=first):
                self.ranks_gather(PROGRAM, ENGINE, MUSTER, model, first)

    def test_python_loads_the_layer_twice_by_one_path_or_two_files(self):
        self.environment.update(PYTHONPATH=HERE, MUSTER_ONNXRUNTIME_LAYER=MUSTER,
                                MUSTER_ONNXRUNTIME_MICROSOFT_LAYER=MICROSOFT)
        copy = shutil.copy(MUSTER, os.path.join(self.directory, "libcopy.so"))
        for libraries in ([MUSTER, MUSTER], [MUSTER, copy]):
            with self.subTest(libraries=libraries):
                self.ranks_gather(sys.executable, "-c", TWO_LAYERS, *libraries)


if __name__ == "__main__":
    unittest.main()

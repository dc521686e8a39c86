"""What bench/plot.py and bench/table.py make of the bench's rows."""
import json
import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree

BENCH = os.path.join(os.path.dirname(__file__), "..", "..", "bench")


def row(impl, shape, dim, time, wrong=0):
    return {"impl": impl, "transport": "shm", "placement": "push", "ranks": 2, "shape": shape,
            "dtype": "bfloat16", "dim": dim, "bytes_per_rank": 1024, "time_us_median": time,
            "time_us_p99": 2 * time, "algbw_gbs": 1.0, "busbw_gbs": 0.5, "wrong": wrong}


ROWS = [row("muster", [512], 0, 0.25), row("mpi", [512], 0, 0.5),
        row("muster", [8, [30, 34]], 1, 0.3), row("mpi", [8, [30, 34]], 1, 0.6, wrong=7),
        row("mpi+permute", [8, [30, 34]], 1, 1.2)]


class Scripts(unittest.TestCase):
    def run_script(self, name, rows):
        text = "".join(json.dumps(r) + "\n" for r in rows)
        return subprocess.run([sys.executable, os.path.join(BENCH, name)], input=text,
                              capture_output=True, text=True, check=False)

    def test_the_table_has_a_line_a_gather_and_muster_s_share(self):
        result = self.run_script("table.py", ROWS)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[2:], [
            "| [512] | 0 | 1024 | 0.25 | 0.50 (0.50) | – |",
            "| [8, [30, 34]] | 1 | 1024 | 0.30 | 0.60 (0.50, 7 wrong) | 1.20 (0.25) |"])

    def test_the_plot_is_an_svg_with_a_line_a_contender(self):
        result = self.run_script("plot.py", ROWS)
        self.assertEqual(result.returncode, 0, result.stderr)
        xml.etree.ElementTree.fromstring(result.stdout)
        for name in ("muster push", "mpi+permute"):
            self.assertIn(name, result.stdout)

    def test_rows_without_muster_are_an_error(self):
        result = self.run_script("table.py", ROWS[1:2])
        self.assertEqual(result.returncode, 1)
        self.assertIn("no rows of muster", result.stderr)


if __name__ == "__main__":
    unittest.main()

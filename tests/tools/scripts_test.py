"""What bench/plot.py, bench/table.py and tools/gpu-test make of what was measured."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
BENCH = os.path.join(ROOT, "bench")
TOOLS = os.path.join(ROOT, "tools")


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

    def test_the_table_shows_every_placement_and_gathers_that_muster_was_not_measured_in(self):
        rows = [ROWS[0], dict(row("muster", [512], 0, 0.5), placement="pull"), ROWS[3]]
        result = self.run_script("table.py", rows)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(), [
            "| shard | dim | bytes a rank | muster | MPI, dim 0 only | muster, pull |",
            "| --- | --- | --- | --- | --- | --- |",
            "| [512] | 0 | 1024 | 0.25 | – | 0.50 (0.50) |",
            "| [8, [30, 34]] | 1 | 1024 | – | 0.60 (7 wrong) | – |"])

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


class GpuReport(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="muster-test-")
        self.addCleanup(self.directory.cleanup)
        self.folder = pathlib.Path(self.directory.name)

    def report(self):
        result = subprocess.run([sys.executable, os.path.join(TOOLS, "gpu_report.py"),
                                 self.directory.name, "0123456789abcdef"],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout, json.loads((self.folder / "report.json").read_text())

    def step(self, name, status, log=""):
        with open(self.folder / "steps.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": name, "status": status, "passed": 1, "seconds": 2.5,
                                   "limit": 9}) + "\n")
        (self.folder / f"{name}.log").write_text(log)

    def test_names_what_failed_what_was_seen_and_what_was_not_run(self):
        self.step("kills", 0, "rank 0's kernel ended after 229 us\n")
        self.step("memcheck", 9, "[  FAILED  ] On/A.B/threads_2, where GetParam() = 2 (3 ms)\n"
                                 "========= ERROR SUMMARY: 2 errors\n")
        (self.folder / "not-run.txt").write_text("not run: two GPUs\n")
        text, report = self.report()
        self.assertRegex(text, r"kills +ok +1 tests passed +2\.5 s of 9\n.*ended after 229 us")
        self.assertRegex(text, r"memcheck +status 9.*\n +failed: On/A\.B/threads_2\n.*2 errors")
        self.assertIn("not run: two GPUs\n", text)
        self.assertEqual(report["steps"][1]["failed"], ["On/A.B/threads_2"])
        self.assertEqual(report["not_run"], ["two GPUs"])
        self.assertEqual(report["commit"], "0123456789abcdef")

    def test_holds_the_measurements_against_the_targets(self):
        small = [row("muster", [1024], 0, 2.9), row("nccl", [1024], 0, 6.0)]
        inner = [row("muster", [8, 128], 1, 4.0), row("nccl+permute", [8, 128], 1, 8.0, wrong=3)]
        host = [row("muster", [1024], 0, 4.2), row("kernel", [1024], 0, 6.0)]
        for name, rows in (("2-1024", small), ("2-8x128", inner), ("host-threads", host)):
            (self.folder / f"bench-{name}.jsonl").write_text(
                "".join(json.dumps(r) + "\n" for r in rows))
        text, report = self.report()
        self.assertIn("1 KiB a rank: at most 3.0 us: 2.900 to 4.000: NOT MET", text)
        self.assertIn("up to 64 KiB: at most 1/2.2 of NCCL + permute: 0.500: NOT MET", text)
        self.assertIn("above: at most 1/2.7 of NCCL + permute: not measured", text)
        self.assertIn("a plain call costs the host, two threads at once; to launch a kernel that "
                      "only moves: 6.000: at most 5 us: 4.200: met", text)
        self.assertIn("the host, two processes at once: at most 5 us: not measured", text)
        self.assertIn("| [1024] | 0 | 1024 | 2.90 | 6.00 (0.48) | – |", text)
        self.assertIn("wrong bytes in all measurements: 3", text)
        self.assertEqual(len(report["bench"]), 6)

    def test_shows_measurements_without_muster_s_and_leaves_out_what_was_cut_short(self):
        (self.folder / "bench-2-8x128-torch.jsonl").write_text(
            json.dumps(row("torch nccl", [8, 128], 1, 8.0)) + '\n{"impl": "torch ncc')
        text, report = self.report()
        self.assertIn("2-8x128-torch: 2 x [8, 128], dim 1, torch nccl push: 8.00 us", text)
        self.assertEqual(len(report["bench"]), 1)

    def test_judges_what_a_plain_call_costs_the_host_also_by_itself(self):
        (self.folder / "bench-host-processes.jsonl").write_text(
            json.dumps(row("muster", [1024], 0, 5.5)))
        text, _ = self.report()
        self.assertIn("two processes at once: at most 5 us: 5.500: NOT MET", text)

    def run_stand_ins(self, *options):
        """Runs tools/gpu-test with programs that say they passed, but gpu_test, which failed."""
        programs = self.folder / "bin"
        programs.mkdir()
        stand_in = ("#!/bin/sh\n"
                    "case $0 in *gpu_test) echo '[  FAILED  ] A.B (1 ms)'; exit 1;;\n"
                    "*muster) [ $1 = bench ] || echo '\"compute_capability\": \"9.0\"';; esac\n"
                    "echo '[       OK ] C.D (1 ms)'\n")
        for name in ("nvidia-smi", "gpu_test", "call_number_test", "guide_snippets",
                     "conformance_cuda_test", "compute-sanitizer", "muster"):
            (programs / name).write_text(stand_in)
            (programs / name).chmod(0o755)
        (programs / "commit").write_text("0123456789abcdef\n")
        result = subprocess.run(
            [os.path.join(TOOLS, "gpu-test"), "--no-build", programs, *options, self.folder / "out"],
            env=dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}"),
            capture_output=True, text=True, check=False)
        return result, (self.folder / "out" / "report.txt").read_text()

    def test_a_run_of_programs_that_stand_in_is_a_report_and_a_status(self):
        result, text = self.run_stand_ins()
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(text, r"failures +status 1.*\n +failed: A\.B\n")
        self.assertRegex(text, r"processes-4 +ok +1 tests passed")
        self.assertRegex(text, r"bench-plain +ok")
        self.assertIn("not run: all of NCCL: muster was built without its header", text)
        self.assertIn("not run: anything between two GPUs: there is one", text)
        self.assertTrue((self.folder / "out" / "report.json").exists())

    def test_a_run_of_some_steps_says_which_others_there_are(self):
        result, text = self.run_stand_ins("--only", "^processes|^bench-plain$")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(text, r"processes-4 +ok +1 tests passed")
        self.assertRegex(text, r"bench-plain +ok")
        self.assertNotIn("failed: A.B", text)
        self.assertIn("not run: failures: not asked for", text)

    def test_a_wrong_argument_is_refused_before_anything_runs(self):
        for options, why in ((["--only"], "--only needs a value"),
                             (["--only", "("], "not a regular expression"),
                             (["--time", "soon"], "a number of seconds"),
                             (["--time", "4"], "no step is that short"),
                             (["--no-build", "/nonexistent"], "there is no gpu_test"),
                             (["--quickly"], "unknown option --quickly")):
            result = subprocess.run([os.path.join(TOOLS, "gpu-test"), *options],
                                    capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 2, options)
            self.assertIn(why, result.stderr)

    def test_a_pattern_of_no_step_is_an_error(self):
        result, _ = self.run_stand_ins("--only", "nosuch")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no step has such a name", result.stderr)

    def test_a_run_that_left_nothing_has_a_report_too(self):
        text, report = self.report()
        self.assertIn("muster 0123456789", text)
        self.assertEqual((report["steps"], report["bench"]), ([], []))


if __name__ == "__main__":
    unittest.main()

"""`muster bench`: what it prints, and that what it measures is right. It says nothing of speed."""
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import unittest

from command_line import MUSTER, CommandLineTest

FIELDS = ["impl", "transport", "placement", "ranks", "shape", "dtype", "dim", "bytes_per_rank",
          "time_us_median", "time_us_p99", "algbw_gbs", "busbw_gbs", "wrong"]


class AllGather(CommandLineTest):
    def rows(self, *arguments):
        result = self.muster("bench", "all_gather", "--rounds", 3, "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        for row in rows:
            self.assertEqual(list(row), FIELDS)
            self.assertEqual(row["wrong"], 0, row)
            self.assertGreater(row["time_us_median"], 0)
            self.assertGreaterEqual(row["time_us_p99"], row["time_us_median"])
        self.assertEqual(self.directories_left(), [])
        return rows

    def test_a_row_has_exactly_these_fields(self):
        row, = self.rows("-n", 2, "--shape", "8,300", "--dtype", "bfloat16", "--dim", -1)
        self.assertEqual((row["impl"], row["transport"], row["placement"]), ("muster", "shm", "push"))
        self.assertEqual((row["ranks"], row["shape"], row["dtype"], row["dim"]),
                         (2, [8, 300], "bfloat16", 1))
        self.assertEqual(row["bytes_per_rank"], 4800)
        self.assertAlmostEqual(row["algbw_gbs"], 9600 / row["time_us_median"] / 1e3)
        self.assertAlmostEqual(row["busbw_gbs"], row["algbw_gbs"] / 2)

    def test_every_placement_is_right(self):
        rows = self.rows("-n", 3, "--shape", "5,7", "--dim", 1, "--placement", "push,pull,staged")
        self.assertEqual([row["placement"] for row in rows], ["push", "pull", "staged"])
        rows = self.rows("--shape", "5,7", "--placement", "pull", "--placement", "push")
        self.assertEqual([row["placement"] for row in rows], ["pull", "push"])

    def test_unequal_and_empty_sections(self):
        row, = self.rows("-n", 3, "--shape", "8,1", "--sizes", "30,0,34", "--dim", -1)
        self.assertEqual(row["shape"], [8, [30, 0, 34]])

    def test_ranks_as_threads(self):
        self.rows("-n", 3, "--shape", "64,65", "--ranks-as", "threads", "--against", "memcpy")

    def test_gathers_without_a_byte(self):
        self.rows("-n", 2, "--shape", "0,5", "--dim", 1, "--against", "memcpy")

    def test_one_rank(self):
        self.rows("-n", 1, "--shape", "64,65")

    def test_how_to_launch_is_a_question_of_gpus(self):
        result = self.muster("bench", "all_gather", "--shape", "8", "--launch", "plain")
        self.assert_refused(result, "--launch needs --device cuda")

    def test_against_memcpy(self):
        rows = self.rows("-n", 2, "--shape", "16,4096", "--dim", 1, "--against", "memcpy")
        self.assertEqual([row["impl"] for row in rows], ["muster", "memcpy"])

    def test_against_mpi(self):
        facts = json.loads(self.muster("info", "--json").stdout)
        arguments = ("--shape", "16,300", "--dim", 1, "--against", "mpi,memcpy")
        if facts["mpi"] is None:
            self.assert_refused(self.muster("bench", "all_gather", *arguments), "without MPI")
            return
        rows = self.rows("-n", 2, *arguments)
        self.assertEqual([row["impl"] for row in rows],
                         ["muster", "memcpy", "mpi", "mpi+permute", "mpi+datatype"])
        self.rows("-n", 2, "--shape", "5,0", "--dim", 1, "--against", "mpi")
        self.rows("-n", 3, *arguments, "--sizes", "300,7,0")
        rows = self.rows("-n", 2, "--shape", "300", "--against", "mpi")
        self.assertEqual([row["impl"] for row in rows], ["muster", "mpi"])

    def test_a_signal_ends_it_in_the_same_way_with_mpi(self):
        with_mpi = json.loads(self.muster("info", "--json").stdout)["mpi"] is not None
        for rival in ["memcpy"] + ["mpi"] * with_mpi:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                with self.subTest(rival=rival, signal=number.name):
                    process = self.start("bench", "all_gather", "--against", rival, "--time", 60,
                                         "--shape", "8,8")
                    self.wait_until(self.directories_left, "it launches")
                    process.send_signal(number)
                    _, stderr = process.communicate(timeout=60)
                    self.assertEqual(process.returncode, 128 + number, stderr)
                    self.assertRegex(stderr, rf"bench: rank . was killed by signal {number} \(")

    def test_rows_that_cannot_be_written_are_an_error_with_mpi_too(self):
        with_mpi = json.loads(self.muster("info", "--json").stdout)["mpi"] is not None
        for rival in ["memcpy"] + ["mpi"] * with_mpi:
            arguments = ("bench", "all_gather", "--against", rival, "--shape", "8,8", "--rounds", 3)
            with self.subTest(rival=rival, stdout="full"), open("/dev/full", "wb") as full:
                result = self.muster(*arguments, stdout=full)
                self.assertEqual(result.returncode, 125)
                self.assertIn("No space left on device", result.stderr)
            with self.subTest(rival=rival, stdout="unread"):
                reader, writer = os.pipe()
                os.close(reader)
                result = self.muster(*arguments, stdout=writer)
                os.close(writer)
                self.assertEqual(result.returncode, 128 + signal.SIGPIPE)
                self.assertIn("bench: rank 0 was killed by signal 13 (", result.stderr)

    def test_an_mpi_that_fails_has_found_no_wrong_bytes(self):
        if json.loads(self.muster("info", "--json").stdout)["mpi"] is None:
            self.skipTest("needs MPI")
        self.environment["OMPI_MCA_plm"] = self.environment["PRTE_MCA_plm"] = "nonsense"
        result = self.muster("bench", "all_gather", "--against", "mpi", "--shape", "8,8")
        if result.returncode == 0:
            self.skipTest("needs Open MPI")
        self.assertNotEqual(result.returncode, 1, result.stderr)
        self.assertIn("bench: mpiexec ended with status", result.stderr)

    def test_inside_a_job_its_ranks_take_part(self):
        result = self.muster("run", "-n", 3, "--no-prefix", os.environ["MUSTER"], "bench",
                             "all_gather", "--shape", "8,8", "--rounds", 3, "--json")
        self.assertEqual(json.loads(result.stdout)["ranks"], 3, result.stderr)

    def test_the_table_names_its_columns(self):
        result = self.muster("bench", "all_gather", "--shape", "8,8", "--rounds", 3)
        for column in ("size", "count", "type", "time", "algbw", "busbw", "#wrong"):
            self.assertIn(column, result.stdout)
        self.assertIn("usable cores", result.stdout.splitlines()[0])

    def test_without_a_gpu_it_says_so_once(self):
        gpu = json.loads(self.muster("info", "--json").stdout)["gpu"]
        if gpu.get("devices"):
            self.skipTest("there is a GPU")
        why = gpu["driver_trouble"] if gpu["built"] else "this muster was built without CUDA"
        result = self.muster("bench", "all_gather", "--device", "cuda")
        self.assertEqual((result.returncode, result.stderr), (125, f"muster: bench: {why}\n"))


class Terminal(CommandLineTest):
    def shown_until_the_first_row(self, script, ended_by):
        """On a terminal that stops processes which write to it from the background."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        attributes = termios.tcgetattr(theirs)
        attributes[3] |= termios.TOSTOP
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)

        def enter():
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", MUSTER, "bench", "all_gather", "--rounds", "1"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
            preexec_fn=enter)
        os.close(theirs)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, ended_by)
        printed = b""
        while b"push" not in printed:
            self.assertTrue(select.select([process.stdout], [], [], 60)[0], "it hangs")
            part = os.read(process.stdout.fileno(), 4096)
            self.assertTrue(part, "it ends without a row")
            printed += part
        return os.read(ours, 4096) if select.select([ours], [], [], 0)[0] else b""

    def test_progress_is_shown_in_the_foreground(self):
        shown = self.shown_until_the_first_row('exec "$@"', signal.SIGKILL)
        self.assertIn(b"] 0/", shown)

    def test_in_the_background_nothing_is_shown_and_nothing_stops(self):
        shown = self.shown_until_the_first_row(
            'set -m; "$@" & trap "kill -KILL $!" TERM; wait', signal.SIGTERM)
        self.assertEqual(shown, b"")


class Create(CommandLineTest):
    def test_it_tells_time_and_memory(self):
        result = self.muster("bench", "create", "-n", 4, "--rounds", 3, "--json")
        row = json.loads(result.stdout)
        self.assertEqual(list(row), ["ranks", "time_us_median", "time_us_p99", "control_bytes"])
        self.assertEqual(row["ranks"], 4)
        self.assertGreater(row["control_bytes"], 0)


class Mistakes(CommandLineTest):
    def test_they_are_named_once_and_nothing_is_left(self):
        for arguments, complaint in [
                (["--shape", "8,8", "--dim", 2], "gather_dim 2"),
                (["--dtype", "float7"], "float7"),
                (["--shape", "8,8", "--sizes", "1,2,3"], "3 extents for 2 ranks"),
                (["--shape", "8,-8"], "-8"),
                (["--shape", "8,,8"], "8,,8"),
                (["--shape", "8,8,"], "8,8,"),
                (["--shape", "8,eight"], "8,eight"),
                (["--shape", "8,99999999999999999999"], "99999999999999999999"),
                (["--sizes", "1,2"], "--shape"),
                (["--time", "nan"], "nan is not a time"),
                (["-n", 0], "from 1 to 128"),
                (["--shape", "8,8", "--dim", ""], "not a whole number"),
                (["--rounds", 0], "from 1 to 1000000000"),
                (["--placement", "shove"], "shove"),
                (["--placement", "push,push"], '"push,push" is not some of push,pull,staged'),
                (["--placement", "push,,pull"], "push,,pull"),
                (["--placement", "push,"], '"push,"'),
                (["--placement", ""], "once each"),
                (["--against", "carrier pigeons"], "pigeons"),
                (["--against", "mpi", "--ranks-as", "threads"], "processes"),
                (["--shape", "8,400000000000"], "MiB")]:
            with self.subTest(arguments=arguments):
                result = self.muster("bench", "all_gather", "-n", 2, *arguments)
                self.assertEqual(result.returncode, 125, result.stderr)
                self.assertIn(complaint, result.stderr)
                self.assertEqual(self.directories_left(), [])


if __name__ == "__main__":
    unittest.main()

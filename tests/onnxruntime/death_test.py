"""A rank's process dies in the middle of a run.

With no argument this is the test; with one it is what each rank of its job does.
"""
import os
import signal
import subprocess
import sys
import time
import unittest

SIZE = 3
VICTIM = 1


def error_of_two_runs(running, inputs):
    """In the victim's last run, if not all had arrived here when it died; else in the next one."""
    try:
        running.run(None, inputs)
        running.run(None, inputs)
    except Exception as error:
        return error
    sys.exit("it went well without the victim")


def rank():
    import numpy
    from network import RANK, gather_network, session
    running = session(gather_network(["rows", 3], name="logits"))
    if RANK == VICTIM:
        running.run(None, {"x": numpy.ones([2, 3], "float32")})
        os.kill(os.getpid(), signal.SIGKILL)
    began = time.monotonic()
    print(error_of_two_runs(running, {"x": numpy.ones([2, 3], "float32")}), flush=True)
    assert time.monotonic() - began < 10
    living = [r for r in range(SIZE) if r != VICTIM]
    again = session(gather_network(["rows", 3], name="logits", group=living))
    result, = again.run(None, {"x": numpy.full([1, 3], RANK, "float32")})
    assert [list(row) for row in result] == [[r] * 3 for r in living], result
    print("went on", flush=True)


class Death(unittest.TestCase):
    def test_the_others_are_told_who_and_go_on_in_a_new_session(self):
        job = subprocess.run(
            [os.environ["MUSTER"], "run", "-n", str(SIZE), "--keep-going",
             sys.executable, __file__, "rank"], capture_output=True, text=True, timeout=100)
        self.assertEqual(job.returncode, 128 + signal.SIGKILL, job.stderr)
        for survivor in (0, 2):
            lines = [line for line in job.stdout.splitlines() if line.startswith(f"[{survivor}]")]
            self.assertEqual(len(lines), 2, job.stdout + job.stderr)
            self.assertRegex(lines[0], rf"'logits'.*peer_lost.*rank {VICTIM}")
            self.assertIn("went on", lines[1])


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "rank":
        rank()
    else:
        unittest.main()

"""Runs `muster` as a user would: the part that the command line's tests share."""
import concurrent.futures
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

MUSTER = os.environ["MUSTER"]

# nohup and a shell's & start programs with signals ignored, which muster respects. Here none are.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


class CommandLineTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="muster-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = dict(os.environ, TMPDIR=self.directory)
        for name in list(self.environment):
            if name == "XDG_RUNTIME_DIR" or name.startswith("MUSTER_"):
                del self.environment[name]

    def muster(self, *arguments, **options):
        """What `muster ARGUMENTS` printed, and its status; a hang is a failure."""
        return subprocess.run(
            [MUSTER, *map(str, arguments)], env=self.environment, timeout=120,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               "text": True, **options})

    def start(self, *arguments, **options):
        process = subprocess.Popen(
            [MUSTER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=self.environment, **options)

        def stop():
            process.kill()
            process.communicate()
        self.addCleanup(stop)
        return process

    def directories_left(self):
        return glob.glob(os.path.join(self.directory, "muster-*"))

    def wait_until(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"never happened: {what}")
            time.sleep(0.01)

    def assert_refused(self, result, text, status=125):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stdout, "")


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it goes while it is read
        return False


def main_at_once():
    """As unittest.main(), for tests that mostly wait: all of a file at the same time."""
    suites = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    tests = [test for suite in suites for test in suite]

    def run(test):
        result = unittest.TestResult()
        test.run(result)
        return result

    with concurrent.futures.ThreadPoolExecutor(len(tests)) as pool:
        results = list(pool.map(run, tests))
    for result in results:
        for test, trace in result.errors + result.failures:
            print(f"FAIL: {test}\n{trace}", file=sys.stderr)
    print(f"ran {len(tests)} tests", file=sys.stderr)
    sys.exit(not all(result.wasSuccessful() for result in results))

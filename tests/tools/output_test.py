"""What `muster` does when what it prints cannot be taken."""
import os
import pty
import select
import signal
import socket
import subprocess
import sys

from command_line import MUSTER, CommandLineTest, is_alive, main_at_once


class Output(CommandLineTest):
    def test_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for command in (["info"], ["info", "--json"], ["--help"], ["run", "-n", 2, "echo", "x"]):
                with self.subTest(command=command):
                    result = self.muster(*command, stdout=full)
                    self.assertEqual(result.returncode, 125)
                    self.assertIn("No space left on device", result.stderr)

    def test_that_nobody_wants_holds_nobody_up(self):
        for stream in (1, 2):
            with self.subTest(closed=stream):
                result = self.muster("run", "-n", 2, "sh", "-c", "echo x; echo y >&2",
                                     preexec_fn=lambda fd=stream: os.close(fd))
                self.assertEqual(result.returncode, 0, result.stderr)


class StalledReader:
    """What is true of every stream; those who inherit it say how to open one."""
    FLOOD = "exec yes"
    LINES = 50_000
    SOME = f"yes | head -{LINES}; echo >> ended"  # more than a stream holds

    def setUp(self):
        super().setUp()
        self.reader, self.stream = self.open_stream()
        for end in (self.reader, self.stream):
            self.addCleanup(os.close, end)

    def start_ranks(self, code, *options, stderr=subprocess.PIPE):
        process = subprocess.Popen(
            [MUSTER, "run", "-n", "2", *options, "sh", "-c", f"echo $$ >> pids; {code}"],
            cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=self.stream, stderr=stderr, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def wait_until_stalled(self):
        self.wait_until(lambda: len(self.lines_in("pids")) == 2, "all ranks start")
        self.wait_until(lambda: not select.select([], [self.stream], [], 0)[1], "a full stream")

    def lines_in(self, name):
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def assert_ends(self, process, status):
        """With its ranks. Returns what it said on stderr."""
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, stderr)
        ranks = [int(pid) for pid in self.lines_in("pids")]
        self.assertEqual([pid for pid in ranks if is_alive(pid)], [])
        self.assertEqual(self.directories_left(), [])
        return stderr

    def test_does_not_hold_up_the_timeout(self):
        stderr = self.assert_ends(self.start_ranks(self.FLOOD, "--timeout", "2"), 124)
        self.assertRegex(stderr, r"timeout of 2 s\nmuster: \d+ bytes .* are lost")

    def test_does_not_hold_up_a_signal(self):
        process = self.start_ranks(self.FLOOD)
        self.wait_until_stalled()
        process.send_signal(signal.SIGTERM)
        self.assertRegex(self.assert_ends(process, 128 + signal.SIGTERM), r"\d+ bytes .* are lost")

    def test_loses_nothing_where_neither_comes(self):
        lines = 10 * self.LINES  # more than the launcher keeps too
        process = self.start_ranks(f"yes | head -{lines}", "--timeout", "300")
        self.wait_until_stalled()
        counts = {"[0] y": 0, "[1] y": 0}
        rest = ""
        while sum(counts.values()) < 2 * lines:
            self.assertTrue(select.select([self.reader], [], [], 60)[0], counts)
            *whole, rest = (rest + os.read(self.reader, 1 << 16).decode()).split("\n")
            for line in whole:
                counts[line.rstrip("\r")] += 1
        self.assertEqual(counts, dict.fromkeys(counts, lines))
        self.assertEqual((process.communicate(timeout=60)[1], process.returncode), ("", 0))
        self.assertTrue(os.get_blocking(self.stream))  # others have it too


class StalledPipe(StalledReader, CommandLineTest):
    open_stream = staticmethod(os.pipe)

    def test_does_not_hold_up_the_timeout_though_stderr_goes_there_too(self):
        self.assert_ends(
            self.start_ranks(self.FLOOD, "--timeout", "2", "--json", stderr=self.stream), 124)

    def test_does_not_hold_up_the_timeout_once_the_ranks_have_ended(self):
        stderr = self.assert_ends(self.start_ranks(self.SOME, "--timeout", "2"), 124)
        self.assertRegex(stderr, r"timeout of 2 s\nmuster: \d+ bytes .* are lost")

    def test_does_not_hold_up_a_signal_once_the_ranks_have_ended(self):
        process = self.start_ranks(self.SOME)
        self.wait_until(lambda: len(self.lines_in("ended")) == 2, "the ranks end")
        self.wait_until_stalled()
        process.send_signal(signal.SIGINT)
        self.assertRegex(self.assert_ends(process, 128 + signal.SIGINT), r"\d+ bytes .* are lost")

    def test_does_not_hold_up_a_signal_whose_handler_prints(self):
        code = ("import os, signal\n"
                "def handle(number, frame): os.write(1, b'bye\\n' * (1 << 20)); os._exit(0)\n"
                "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, handle)\n"
                "print('yes', file=open('ready', 'a'))\n"
                "while True: signal.pause()")
        process = self.start_ranks(f'exec {sys.executable} -c "{code}"', "--grace", "0.2")
        self.wait_until(lambda: len(self.lines_in("ready")) == 2, "the ranks are ready")
        process.send_signal(signal.SIGINT)
        self.assert_ends(process, 128 + signal.SIGKILL)


class StalledTerminal(StalledReader, CommandLineTest):
    open_stream = staticmethod(pty.openpty)


class StalledSocket(StalledReader, CommandLineTest):
    def open_stream(self):
        return [end.detach() for end in socket.socketpair()]


if __name__ == "__main__":
    main_at_once()

"""`muster run`, used well and badly."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

from command_line import CommandLineTest, is_alive

FOREIGN_THREAD = os.environ.get("FOREIGN_THREAD")
NO_FLOCK = os.environ.get("NO_FLOCK")
RANK = "import os, sys, time; rank = int(os.environ['MUSTER_RANK']); "


def python(code):
    return [sys.executable, "-c", code]


def shell(code):
    return ["sh", "-c", code]


class Output(CommandLineTest):
    def test_each_line_comes_behind_the_number_of_its_rank(self):
        result = self.muster("run", "-n", 3, *shell("echo one; echo two; echo oops >&2"))
        self.assertEqual(result.returncode, 0)
        self.assertEqual(sorted(result.stdout.splitlines()),
                         [f"[{r}] {word}" for r in range(3) for word in ("one", "two")])
        self.assertEqual(sorted(result.stderr.splitlines()), [f"[{r}] oops" for r in range(3)])

    def test_without_prefix_the_lines_are_the_programs_own(self):
        result = self.muster("run", "-n", 2, "--no-prefix", "echo", "same")
        self.assertEqual(result.stdout, "same\nsame\n")

    def test_a_last_line_without_a_newline_is_forwarded(self):
        result = self.muster("run", "-n", 2, *shell("printf end$MUSTER_RANK"))
        self.assertEqual(sorted(result.stdout.splitlines()), ["[0] end0", "[1] end1"])

    def test_lines_of_ranks_that_write_at_once_never_mix(self):
        code = RANK + "[print(str(rank) * 3000, flush=True) for _ in range(300)]"
        lines = self.muster("run", "-n", 4, *python(code)).stdout.splitlines()
        self.assertEqual(sorted(set(lines)), [f"[{r}] " + str(r) * 3000 for r in range(4)])
        self.assertEqual(len(lines), 1200)

    def test_lines_stay_whole_where_stdout_and_stderr_are_one_file(self):
        code = "import os\nfor _ in range(2000): os.write(1, b'out\\n'); os.write(2, b'err\\n')"
        lines = self.muster("run", "-n", 2, *python(code), stderr=subprocess.STDOUT).stdout
        self.assertEqual(sorted(set(lines.splitlines())),
                         ["[0] err", "[0] out", "[1] err", "[1] out"])
        self.assertEqual(len(lines.splitlines()), 8000)

    def test_a_long_line_stays_one_line(self):
        size = 3_000_000
        result = self.muster("run", "-n", 2, *python(f"print('x' * {size})"))
        self.assertEqual([len(line) for line in result.stdout.splitlines()], [size + 4] * 2)

    def test_bytes_are_forwarded_as_they_are(self):
        code = "import sys; sys.stdout.buffer.write(bytes(range(256)))"
        result = self.muster("run", "-n", 1, "--no-prefix", *python(code), text=False)
        self.assertEqual(result.stdout, bytes(range(256)))

    def test_only_rank_0_reads_stdin(self):
        result = self.muster("run", "-n", 3, *shell("wc -c"), stdin=None, input="four")
        self.assertEqual(sorted(result.stdout.split()), ["0", "0", "4", "[0]", "[1]", "[2]"])
        self.assertIn("[0] 4", result.stdout)

    def test_a_reader_that_leaves_ends_the_ranks(self):
        process = self.start("run", "-n", 2, "yes")
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(60), 128 + signal.SIGPIPE)


class Environment(CommandLineTest):
    def test_ranks_learn_who_and_where_they_are(self):
        code = RANK + ("r = os.environ['MUSTER_RENDEZVOUS']; s = os.stat(r); "
                       "print(rank, os.environ['MUSTER_WORLD_SIZE'], oct(s.st_mode & 0o777), "
                       "os.path.dirname(os.path.dirname(r)), len(os.environ['MUSTER_TOKEN']))")
        result = self.muster("run", "-n", 2, "--no-prefix", *python(code))
        self.assertEqual(sorted(result.stdout.splitlines()),
                         [f"{r} 2 0o700 {self.directory} 32" for r in range(2)])

    def test_two_jobs_have_different_tokens(self):
        tokens = {self.muster("run", "-n", 1, *shell("echo $MUSTER_TOKEN")).stdout
                  for _ in range(2)}
        self.assertEqual(len(tokens), 2)

    def test_the_directory_is_in_the_users_runtime_directory_if_there_is_one(self):
        runtime = os.path.join(self.directory, "runtime")
        os.mkdir(runtime)
        self.environment["XDG_RUNTIME_DIR"] = runtime
        result = self.muster("run", "-n", 1, *shell("echo $MUSTER_RENDEZVOUS"))
        self.assertTrue(result.stdout.startswith(f"[0] {runtime}/muster-"), result.stdout)

    def test_directories_of_the_users_own_stay_whatever_their_names(self):
        names = [f"muster-{os.geteuid()}-{rest}" for rest in ("results", "abc123", "def456")]
        for name in names:
            os.makedirs(os.path.join(self.directory, name, "important"))
        os.chmod(os.path.join(self.directory, names[1]), 0o700)
        self.assertEqual(self.muster("run", "-n", 1, "true").returncode, 0)
        for name in names:
            self.assertTrue(os.path.isdir(os.path.join(self.directory, name, "important")), name)

    def test_a_directory_of_a_launcher_that_was_killed_goes(self):
        left = os.path.join(self.directory, f"muster-{os.geteuid()}-abc123")
        os.makedirs(os.path.join(left, "ranks", "socket"))
        os.chmod(left, 0o700)
        self.assertEqual(self.muster("run", "-n", 1, "true").returncode, 0)
        self.assertEqual(self.directories_left(), [])

    @unittest.skipUnless(NO_FLOCK, "a sanitizer's runtime has to be loaded first")
    def test_a_place_that_knows_no_locks_is_an_error(self):
        self.environment["LD_PRELOAD"] = NO_FLOCK
        result = self.muster("run", "-n", 2, "true")
        self.assertEqual(result.returncode, 125)
        self.assertIn(f"cannot lock {self.directory}/muster-", result.stderr)
        self.assertEqual(self.directories_left(), [])


class Status(CommandLineTest):
    def test_success_is_0_and_says_nothing(self):
        result = self.muster("run", "-n", 4, "true")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertEqual(self.directories_left(), [])

    def test_it_is_that_of_the_rank_that_failed(self):
        result = self.muster("run", "-n", 3, *shell("[ $MUSTER_RANK != 1 ] || exit 7; sleep 1000"))
        self.assertEqual(result.returncode, 7)
        self.assertIn("rank 1 ended with status 7", result.stderr)
        self.assertEqual(self.directories_left(), [])

    def test_a_killed_rank_gives_128_and_the_signal(self):
        result = self.muster("run", "-n", 2,
                             *shell("[ $MUSTER_RANK = 0 ] || kill -SEGV $$; sleep 1000"))
        self.assertEqual(result.returncode, 128 + signal.SIGSEGV)
        self.assertIn("rank 1 was killed by signal 11", result.stderr)
        self.assertEqual(self.directories_left(), [])

    def test_keep_going_lets_the_others_end(self):
        code = RANK + "rank == 0 and sys.exit(3); time.sleep(0.3); print('done')"
        result = self.muster("run", "-n", 2, "--keep-going", *python(code))
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stdout, "[1] done\n")

    def test_a_rank_that_ignores_sigterm_is_killed_after_the_grace(self):
        code = "[ $MUSTER_RANK = 0 ] && { sleep 0.3; exit 5; }; trap '' TERM; sleep 1000"
        result = self.muster("run", "-n", 2, "--grace", "0.2", "--json", *shell(code))
        self.assertEqual(result.returncode, 5)
        self.assertEqual([r["signal"] for r in json.loads(result.stdout)["ranks"]], [None, 9])

    def test_timeout_gives_124(self):
        result = self.muster("run", "-n", 2, "--timeout", "0.2", "sleep", 1000)
        self.assertEqual(result.returncode, 124)
        self.assertIn("timeout of 0.2 s", result.stderr)
        self.assertEqual(self.directories_left(), [])

    def test_ranks_that_ended_in_time_did_so_though_the_launcher_was_stopped(self):
        timeout = 1
        process = self.start("run", "-n", 1, "--timeout", timeout,
                             *shell("echo $$; kill -STOP $PPID"))
        self.wait_until(lambda: state(process.pid) == "T", "the launcher is stopped")
        time.sleep(timeout)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stderr), (0, ""))

    def test_times_that_are_none_are_refused(self):
        for option, time in [("--timeout", 0), ("--timeout", "1e300"), ("--timeout", "nan"),
                             ("--timeout", "-1"), ("--grace", "inf"), ("--grace", "soon")]:
            with self.subTest(option=option, time=time):
                self.assert_refused(self.muster("run", "-n", 2, f"{option}={time}", "true"),
                                    f"{time} is not a time")

    def test_json_is_one_object_with_every_rank(self):
        result = self.muster("run", "-n", 2, "--json", "--keep-going",
                             *shell("echo words; exit $MUSTER_RANK"))
        outcome = json.loads(result.stdout)
        self.assertEqual(list(outcome), ["status", "first_failed", "timed_out", "seconds", "ranks"])
        self.assertEqual((outcome["status"], outcome["first_failed"]), (1, 1))
        self.assertEqual([(r["rank"], r["status"], r["signal"]) for r in outcome["ranks"]],
                         [(0, 0, None), (1, 1, None)])
        self.assertIn("[0] words", result.stderr)


class Signals(CommandLineTest):
    # Each rank says that it is ready, then what it gets.
    # By os.write: a signal may come before print returns, which cannot be entered twice.
    HANDLER = ("import os, signal, sys, time\n"
               "def handle(number, frame): os.write(1, b'%d\\n' % number); sys.exit(0)\n"
               "for s in ({}): signal.signal(s, handle)\n"
               "os.write(1, b'ready\\n')\n"
               "time.sleep(1000)")

    def test_they_are_forwarded_to_all_ranks(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number.name):
                process = self.start("run", "-n", 2, *python(self.HANDLER.format(f"{number},")))
                ready = sorted(process.stdout.readline() for _ in range(2))
                self.assertEqual(ready, ["[0] ready\n", "[1] ready\n"])
                process.send_signal(number)
                stdout, _ = process.communicate(timeout=60)
                self.assertEqual(sorted(stdout.splitlines()), [f"[{r}] {number}" for r in range(2)])
                self.assertEqual(process.returncode, 0)
                self.assertEqual(self.directories_left(), [])

    @unittest.skipUnless(FOREIGN_THREAD, "a sanitizer's runtime has to be loaded first")
    def test_a_thread_that_is_not_the_launchers_takes_none_of_them(self):
        self.environment["LD_PRELOAD"] = FOREIGN_THREAD
        for _ in range(20):
            self.assertEqual(self.muster("run", "-n", 2, "true").returncode, 0)
        self.test_they_are_forwarded_to_all_ranks()

    def test_they_act_even_if_they_were_blocked_at_the_start(self):
        result = self.muster("run", "-n", 2, "true", preexec_fn=lambda: signal.pthread_sigmask(
            signal.SIG_BLOCK, (signal.SIGCHLD, signal.SIGTERM)))
        self.assertEqual(result.returncode, 0)

    def test_one_that_was_ignored_at_the_start_stays_so(self):
        process = self.start("run", "-n", 2, *shell("echo ready; sleep 1; echo done"),
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual(sorted(stdout.splitlines()), ["[0] done", "[1] done"])
        self.assertEqual(process.returncode, 0)

    def test_the_second_interrupt_kills_ranks_that_ignore_it(self):
        process = self.start("run", "-n", 2, *shell("trap '' INT; echo ready; sleep 1000; echo"))
        for _ in range(2):
            process.stdout.readline()
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)  # two of one signal at once would be one
        self.assertEqual(process.wait(60), 128 + signal.SIGKILL)

    def test_the_job_stops_and_continues_as_one(self):
        process = self.start("run", "-n", 2, *shell("echo $$; exec sleep 1000"))
        ranks = [int(process.stdout.readline().split()[1]) for _ in range(2)]
        stopped = lambda: all(state(pid) == "T" for pid in [process.pid, *ranks])
        process.send_signal(signal.SIGTSTP)
        self.wait_until(stopped, "launcher and ranks are stopped")
        process.send_signal(signal.SIGCONT)
        self.wait_until(lambda: "T" not in map(state, [process.pid, *ranks]), "all continue")

    def test_children_of_ranks_end_with_the_job(self):
        code = "sleep 1000 & echo $!; [ $MUSTER_RANK = 0 ] || exit 4; wait"
        result = self.muster("run", "-n", 2, *shell(code))
        self.assertEqual(result.returncode, 4)
        children = [int(line.split()[1]) for line in result.stdout.splitlines()]
        self.assertTrue(children)
        for child in children:
            self.wait_until(lambda: not is_alive(child), f"child {child} ends")

    def test_ranks_die_with_a_killed_launcher_and_the_next_one_tidies_up(self):
        process = self.start("run", "-n", 2, *shell("echo $$; exec sleep 1000"))
        ranks = [int(process.stdout.readline().split()[1]) for _ in range(2)]
        process.kill()
        process.wait()
        for rank in ranks:
            self.wait_until(lambda: not is_alive(rank), f"rank {rank} dies")
        self.assertEqual(len(self.directories_left()), 1)
        self.assertEqual(self.muster("run", "-n", 1, "true").returncode, 0)
        self.assertEqual(self.directories_left(), [])

    def test_the_directory_of_a_living_job_is_left_alone(self):
        process = self.start("run", "-n", 1, *shell("echo ready; sleep 1000"))
        process.stdout.readline()
        before = self.directories_left()
        self.muster("run", "-n", 1, "true")
        self.assertEqual(self.directories_left(), before)
        self.assertEqual(len(before), 1)


class Mistakes(CommandLineTest):
    def test_no_such_program(self):
        result = self.muster("run", "-n", 2, "no-such-program")
        self.assert_refused(result, "no such program: no-such-program", status=127)
        self.assertEqual(self.directories_left(), [])

    def test_a_script_whose_interpreter_is_missing(self):
        script = os.path.join(self.directory, "script")
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(script, 0o755)
        text = "cannot start {}: its interpreter is missing"
        self.assert_refused(self.muster("run", "-n", 2, script), text.format(script), 126)
        self.environment["PATH"] = self.directory
        self.assert_refused(self.muster("run", "-n", 2, "script"), text.format("script"), 126)

    def test_a_program_that_is_called_like_a_directory(self):
        os.mkdir(os.path.join(self.directory, "true"))
        for mark in ([], ["--"]):
            result = self.muster("run", "-n", 2, *mark, "true", cwd=self.directory)
            self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_a_program_that_cannot_be_started(self):
        self.assert_refused(self.muster("run", "-n", 2, "/etc/passwd"), "Permission denied", 126)

    def test_a_number_of_ranks_that_cannot_be(self):
        for number in (0, -1, 129, "many", "010", "0x2", "1e1"):
            with self.subTest(ranks=number):
                self.assert_refused(self.muster("run", "-n", number, "true"),
                                    f'"{number}" is not a whole number from 1 to 128')

    def test_unknown_options_and_commands_are_named(self):
        self.assert_refused(self.muster("run", "-n", 2, "--frob", "true"), "--frob")
        self.assert_refused(self.muster("frob"), "no such command or option: frob")
        self.assert_refused(self.muster("bench", "frob"), "no such command or option: frob")
        self.assert_refused(self.muster("info", "--frob"), "--frob")

    def test_what_stands_behind_two_dashes_is_not_dropped(self):
        self.assert_refused(self.muster("info", "--", "frob"), "frob")
        self.assert_refused(self.muster("bench", "create", "-n", 1, "--", "--json"), "--json")
        self.assert_refused(self.muster("--", "info"), "no such command or option: --")

    def test_something_missing(self):
        self.assert_refused(self.muster("run", "-n", 2), "which program?")
        self.assert_refused(self.muster("run", "true"), "--ranks is required")
        self.assert_refused(self.muster(), "subcommand is required")

    def test_more_ranks_than_memory_allows(self):
        if os.geteuid() != 0 or not os.path.isdir("/sys/fs/cgroup/memory"):
            self.skipTest("needs a control group of its own")
        group = f"/sys/fs/cgroup/memory/muster-test-{os.getpid()}"
        os.mkdir(group)
        self.addCleanup(os.rmdir, group)
        with open(f"{group}/memory.limit_in_bytes", "w", encoding="utf-8") as file:
            file.write(str(64 << 20))

        def enter():
            with open(f"{group}/cgroup.procs", "w", encoding="utf-8") as file:
                file.write(str(os.getpid()))
        result = self.muster("run", "-n", 128, "true", preexec_fn=enter)
        self.assert_refused(result, "128 ranks need at least 1024 MiB")

    def test_the_programs_own_options_are_its_own(self):
        result = self.muster("run", "-n", 1, "echo", "-n", "--json", "--", "x")
        self.assertEqual(result.stdout, "[0] --json -- x\n")
        result = self.muster("run", "-n", 1, "--", "echo", "info")
        self.assertEqual(result.stdout, "[0] info\n")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


if __name__ == "__main__":
    unittest.main()

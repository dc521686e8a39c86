"""What `muster` does when what it prints cannot be taken."""
import os
import unittest

from command_line import CommandLineTest


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


if __name__ == "__main__":
    unittest.main()

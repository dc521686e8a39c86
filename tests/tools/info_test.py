"""`muster info`, --help and --version."""
import json
import unittest

from command_line import MUSTER, CommandLineTest


class Info(CommandLineTest):
    def test_json_and_table_say_the_same(self):
        facts = json.loads(self.muster("info", "--json").stdout)
        table = self.muster("info").stdout
        self.assertEqual(facts["transports"]["shm"], "built")
        self.assertGreaterEqual(facts["cores"]["usable"], 1)
        self.assertGreater(facts["memory"]["total"], facts["memory"]["available"])
        self.assertEqual(facts["launcher"], {})
        self.assertEqual(facts["gpu"]["built"], facts["transports"]["cuda"] == "built")
        devices = facts["gpu"].get("devices", [])
        self.assertEqual([len(row) for row in facts["gpu"].get("reaches", [])],
                         [len(devices)] * len(devices))
        for text in (facts["version"], facts["cpu"]["model"], facts["cpu"]["simd"], "futex_waitv"):
            self.assertIn(text, table)

    def test_a_rank_sees_its_launcher_but_nobody_the_token(self):
        result = self.muster("run", "-n", 2, "--no-prefix", "sh", "-c",
                             "[ $MUSTER_RANK = 0 ] || exec $0 info --json", MUSTER)
        launcher = json.loads(result.stdout)["launcher"]
        self.assertEqual((launcher["MUSTER_RANK"], launcher["MUSTER_WORLD_SIZE"]), ("1", "2"))
        self.assertEqual(launcher["MUSTER_TOKEN"], "set")


class Help(CommandLineTest):
    def test_every_command_has_help_with_an_example(self):
        for command in ([], ["run"], ["info"], ["shard"], ["bench"], ["bench", "all_gather"],
                        ["bench", "create"]):
            with self.subTest(command=command):
                result = self.muster(*command, "--help")
                self.assertEqual(result.returncode, 0)
                self.assertIn("Example:\n  " + " ".join(["muster", *command]), result.stdout)

    def test_version(self):
        result = self.muster("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^muster \d+\.\d+\.\d+\n$")




if __name__ == "__main__":
    unittest.main()

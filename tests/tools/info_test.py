"""`muster info`, --help and --version."""
import json
import os
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
        for part in ("gpu", "onnxruntime"):
            self.assertIn(part, table)
        for text in (facts["version"], facts["cpu"]["model"], facts["cpu"]["simd"], "futex_waitv"):
            self.assertIn(text, table)

    def test_a_rank_sees_its_launcher_but_nobody_the_token(self):
        result = self.muster("run", "-n", 2, "--no-prefix", "sh", "-c",
                             "[ $MUSTER_RANK = 0 ] || exec $0 info --json", MUSTER)
        launcher = json.loads(result.stdout)["launcher"]
        self.assertEqual((launcher["MUSTER_RANK"], launcher["MUSTER_WORLD_SIZE"]), ("1", "2"))
        self.assertEqual(launcher["MUSTER_TOKEN"], "set")


    def test_what_is_missing_is_none_and_says_why(self):
        self.environment["MUSTER_NCCL"] = "/there/is/none.so"
        self.environment["MUSTER_ONNXRUNTIME"] = "/there/is/none.so"
        facts = json.loads(self.muster("info", "--json").stdout)
        table = self.muster("info").stdout
        if facts["gpu"]["built"]:
            self.assertIsNone(facts["gpu"]["nccl"])
            self.assertIn("/there/is/none.so", facts["gpu"]["nccl_trouble"])
            self.assertRegex(table, r"nccl +none\n +nccl_trouble +/there/is/none")
            if not facts["gpu"]["devices"]:
                self.assertTrue(facts["gpu"]["driver_trouble"])
                self.assertRegex(table, r"devices +none\n +reaches +none\n")
        else:
            self.assertRegex(table, r"gpu +built +no\n")
        if facts["onnxruntime"]["built"]:
            self.assertIsNone(facts["onnxruntime"]["version"])
            self.assertIn("/there/is/none.so", facts["onnxruntime"]["version_trouble"])
        else:
            self.assertRegex(table, r"onnxruntime +built +no\n")

    def test_mpi_is_there_or_was_not_built(self):
        facts = json.loads(self.muster("info", "--json").stdout)
        table = self.muster("info").stdout
        if facts["mpi"] is None:
            self.assertIn("built without MPI", table)
        else:
            self.assertEqual(facts["mpi"]["found"], os.access(facts["mpi"]["mpiexec"], os.X_OK))


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

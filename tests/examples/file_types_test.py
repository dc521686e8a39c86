"""Splits the demo's network and runs it on files whose kinds are known.

usage: file_types_test.py MUSTER RANKS OPERATOR_LIBRARY MODEL_FOLDER
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/file_types/file_types.py"


def main(muster, ranks, library, model_folder):
    with tempfile.TemporaryDirectory() as folder:
        split = os.path.join(folder, "split")
        run(muster, "shard", os.path.join(model_folder, "model.onnx"), "-n", ranks, "-o", split)
        files = write_files(pathlib.Path(folder))
        output = run(muster, "run", "-n", ranks, sys.executable, EXAMPLE, library, model_folder,
                     split, *files)
    print(output)
    rows = re.findall(r"(\w+)\.\w+ +(\w+) +(\d+)%  (\w+) +(\d+)%", output)
    assert [row[0] for row in rows] == ["json", "python", "empty"], rows
    for name, kind, score, whole_kind, whole_score in rows:
        assert (kind, score) == (whole_kind, whole_score), name
        assert name == "empty" or (kind == name and int(score) > 50), (name, kind)
    largest = float(re.search(r"largest difference.*: ([\d.e+-]+)$", output, re.MULTILINE)[1])
    assert largest <= 1e-5, largest


def write_files(folder):
    contents = {"json.x": json.dumps({"a": list(range(50)), "b": {"c": None}}, indent=2),
                "python.x": EXAMPLE.read_text(encoding="utf-8"),
                "empty.x": ""}  # nothing but padding
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in contents]


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=100)
    if done.returncode != 0:
        sys.exit(f"status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])

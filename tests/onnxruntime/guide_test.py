"""The snippets of docs/onnxruntime.md run: as one program on four ranks, and as commands.

usage: guide_test.py PAGE
"""
import os
import re
import subprocess
import sys
import tempfile


def snippets(text, language):
    """Code with its line numbers, so that a traceback leads to the page."""
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, block.start()) + 1, block[1]


def main(page):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    program = [""] * text.count("\n")
    for line, code in snippets(text, "python"):
        for i, row in enumerate(code.splitlines()):
            program[line + i] = row
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(
        os.environ["MUSTER_ONNXRUNTIME_LAYER"]))
    environment["PATH"] = os.pathsep.join([
        os.path.dirname(os.environ["MUSTER"]), os.path.dirname(sys.executable),
        environment["PATH"]])
    commands = [row for _, code in snippets(text, "sh") for row in code.splitlines()
                if row.startswith("muster run")]
    assert commands and any(program), "the page has lost its snippets"
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "program.py"), "w", encoding="utf-8") as file:
            file.write("\n".join(program))
        for command in commands:
            print(command, flush=True)
            subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True,
                           timeout=120)


if __name__ == "__main__":
    main(*sys.argv[1:])

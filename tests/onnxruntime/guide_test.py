"""The snippets of a page run: its Python as program.py on four ranks, its `muster` commands as they are.

usage: guide_test.py PAGE

A page that makes no model of its own finds one in model.onnx, of an input x and one product.
"""
import os
import re
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


def snippets(text, language):
    """Code with its line numbers, so that a traceback leads to the page."""
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, block.start()) + 1, block[1]


def program(text):
    lines = [""] * text.count("\n")
    for line, code in snippets(text, "python"):
        for i, row in enumerate(code.splitlines()):
            lines[line + i] = row
    return "\n".join(lines)


def commands(text):
    return [row for _, code in snippets(text, "sh") for row in code.splitlines()
            if re.match("muster (run|shard) ", row)]


def save_model(path):
    weight = numpy_helper.from_array(numpy.ones([64, 1000], "float32"), "W")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, extent])
              for name, extent in (("x", 64), ("logits", 1000))]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "W"], ["logits"])], "model",
                              values[:1], values[1:], [weight])
    onnx.save(helper.make_model(graph, ir_version=10,
                                opset_imports=[helper.make_opsetid("", 21)]), path)


def main(page):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    assert commands(text) and program(text).strip(), "the page has lost its snippets"
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(
        os.environ["MUSTER_ONNXRUNTIME_LAYER"]))
    environment["PATH"] = os.pathsep.join([
        os.path.dirname(os.environ["MUSTER"]), os.path.dirname(sys.executable),
        environment["PATH"]])
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "program.py"), "w", encoding="utf-8") as file:
            file.write(program(text))
        save_model(os.path.join(folder, "model.onnx"))
        for command in commands(text):
            print(command, flush=True)
            subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True,
                           timeout=120)


if __name__ == "__main__":
    main(*sys.argv[1:])

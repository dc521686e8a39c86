"""Measures the layer for ONNX Runtime: what an AllGather node costs in a session.

    muster run -n 2 --no-prefix PYTHON bench/onnxruntime_layer.py LIBRARY nodes
    muster run -n 2 --no-prefix PYTHON bench/onnxruntime_layer.py LIBRARY alone
    muster run -n 4 --no-prefix PYTHON bench/onnxruntime_layer.py LIBRARY start

PYTHON has onnxruntime, numpy and onnx (build/onnxruntime/venv); LIBRARY is
libmuster_onnxruntime.so. `nodes`: time in a gather node, activations in the arena and not, the two
in turn; most of it may be the wait for another rank's operator before it. `alone`: time in a node
that waits for no operator, by what further gathers of one section add. `start`: making a session with 32 gathers and its first run, beside the same network with
other operators in their place. Medians of rank 0, one thread a rank.
"""
import ctypes
import os
import statistics
import sys
import time

import numpy
import onnxruntime
from onnx import TensorProto, helper

RANK, SIZE = int(os.environ["MUSTER_RANK"]), int(os.environ["MUSTER_WORLD_SIZE"])


class Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "gathers", "output_bytes", "nanoseconds", "outputs_in_arena", "sections_in_arena")]


def spent(library):
    """Gathers so far, and the seconds that they took."""
    result = Statistics()
    ctypes.CDLL(library).muster_onnxruntime_statistics(ctypes.byref(result))
    return result.gathers, result.nanoseconds / 1e9


def session(library, nodes, shape, arena=True, outputs=("y",)):
    graph = helper.make_graph(
        nodes, "bench", [helper.make_tensor_value_info("x", TensorProto.UINT16, shape)],
        [helper.make_tensor_value_info(name, TensorProto.UINT16, None) for name in outputs])
    model = helper.make_model(graph, ir_version=10, opset_imports=[
        helper.make_opsetid("", 21), helper.make_opsetid("muster", 1)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not arena:
        options.add_session_config_entry("session.use_env_allocators", "0")
    options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def gather(tensor, output):
    return helper.make_node("AllGather", [tensor], [output], name=output, domain="muster",
                            gather_dim=-1)


def measure_nodes(library):
    """uint16 stands for bfloat16, which numpy lacks: a gather sees bytes only."""
    for shape in ([1, 512], [8, 4096], [8, 64128], [512, 4096], [4096, 4096]):
        # Between operators, so that neither section nor output is the session's own.
        nodes = [helper.make_node("BitwiseNot", ["x"], ["a"]), gather("a", "b"),
                 helper.make_node("BitwiseNot", ["b"], ["y"])]
        sessions = {arena: session(library, nodes, shape, arena) for arena in (True, False)}
        x = numpy.zeros(shape, "uint16")
        repeats = max(2, min(100, 2_000_000 // x.size))
        gathers, runs = {True: [], False: []}, {True: [], False: []}
        for turn in range(60):
            for arena, running in sessions.items():
                running.run(None, {"x": x})
                before, began = spent(library), time.perf_counter()
                for _ in range(repeats):
                    running.run(None, {"x": x})
                runs[arena].append((time.perf_counter() - began) / repeats)
                after = spent(library)
                gathers[arena].append((after[1] - before[1]) / (after[0] - before[0]))
        if RANK == 0:
            us = [1e6 * statistics.median(times[arena]) for times in (gathers, runs)
                  for arena in (True, False)]
            print(f"{str(shape):>14} uint16   node {us[0]:9.1f} us (arena) {us[1]:9.1f} us (not)"
                  f"   run {us[2]:9.1f} us (arena) {us[3]:9.1f} us (not)", flush=True)


def measure_alone(library):
    for shape in ([1, 512], [8, 4096], [8, 64128], [512, 4096]):
        def network(gathers):
            outputs = [f"y{i}" for i in range(gathers)]
            nodes = [helper.make_node("BitwiseNot", ["x"], ["a"]),
                     *(gather("a", output) for output in outputs)]
            return session(library, nodes, shape, outputs=outputs)

        def seconds(running, repeats):
            before = spent(library)
            for _ in range(repeats):
                running.run(None, {"x": x})
            return (spent(library)[1] - before[1]) / repeats

        x = numpy.zeros(shape, "uint16")
        repeats = max(2, min(100, 2_000_000 // x.size))
        one, five = network(1), network(5)
        times = []
        for _ in range(60):
            first = seconds(one, repeats)
            times.append((seconds(five, repeats) - first) / 4)
        if RANK == 0:
            print(f"{str(shape):>14} uint16   node that waits for no operator "
                  f"{1e6 * statistics.median(times):9.1f} us", flush=True)


def measure_start(library):
    def seconds(make):
        nodes = [node for i in range(32) for node in make(f"t{i}", f"t{i + 1}")]
        for i in range(len(nodes[0].input)):
            nodes[0].input[i] = "x"
        nodes[-1].output[0] = "y"
        began = time.perf_counter()
        running = session(library, nodes, [1, 64])
        made = time.perf_counter()
        running.run(None, {"x": numpy.zeros([1, 64], "uint16")})
        return made - began, time.perf_counter() - made

    def with_gathers(tensor, output):  # and back to one section, so that sizes stay
        return [gather(tensor, output + "g"),
                helper.make_node("Split", [output + "g"], [output] + [f"{output}_{i}" for i in
                                 range(1, SIZE)], axis=1, num_outputs=SIZE)]

    def without(tensor, output):
        return [helper.make_node("Concat", [tensor] * SIZE, [output + "g"], axis=1),
                with_gathers(tensor, output)[1]]

    times = {make: [] for make in (with_gathers, without)}
    for _ in range(21):
        for make, measured in times.items():
            measured.append(seconds(make))
    if RANK == 0:
        for make, measured in times.items():
            made, run = (1e3 * statistics.median(column) for column in zip(*measured))
            print(f"32 nodes, {make.__name__:<12}: session made in {made:.2f} ms, "
                  f"first run {run:.2f} ms")


if __name__ == "__main__":
    {"nodes": measure_nodes, "alone": measure_alone, "start": measure_start}[sys.argv[2]](sys.argv[1])

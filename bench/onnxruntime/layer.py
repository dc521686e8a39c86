"""Measures the layer for ONNX Runtime: what an AllGather node costs in a session.

    muster run -n 2 --no-prefix PYTHON bench/onnxruntime/layer.py LIBRARY nodes
    muster run -n 2 --no-prefix PYTHON bench/onnxruntime/layer.py LIBRARY bare SECTION
    muster run -n 4 --no-prefix PYTHON bench/onnxruntime/layer.py LIBRARY start

PYTHON has onnxruntime, numpy and onnx (build/onnxruntime/venv); LIBRARY is
libmuster_onnxruntime.so, SECTION libbench_section.so (section.cpp here; built with the tests).

`nodes`: time in a gather node, activations in the arena and not, the two in turn; most of it may be
the wait for another rank's operator before it. `bare`: time in a node that waits for no operator,
and of the library's call on the same memory, in turn, each of a section that was written a moment
before. `start`: making a session with 32 gathers and its first run, beside the same network with
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


def session(libraries, nodes, shape, arena=True, outputs=("y",)):
    graph = helper.make_graph(
        nodes, "bench", [helper.make_tensor_value_info("x", TensorProto.UINT16, shape)],
        [helper.make_tensor_value_info(name, TensorProto.UINT16, None) for name in outputs])
    model = helper.make_model(graph, ir_version=10, opset_imports=[
        helper.make_opsetid(domain, version)
        for domain, version in (("", 21), ("muster", 1), ("bench", 1))])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not arena:
        options.add_session_config_entry("session.use_env_allocators", "0")
    for library in libraries:
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
        sessions = {arena: session([library], nodes, shape, arena) for arena in (True, False)}
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


def measure_bare(library, section_library):
    bench = ctypes.CDLL(section_library)
    bench.bench_node_nanoseconds.restype = bench.bench_bare_nanoseconds.restype = ctypes.c_uint64
    bench.bench_bare_nanoseconds.argtypes = 3 * [ctypes.c_void_p] + 2 * [ctypes.c_int64]
    for shape in ([1, 512], [8, 4096], [8, 64128], [512, 4096]):
        nodes = [helper.make_node("Section", ["x"], ["section"], domain="bench"),
                 gather("section", "y")]
        running = session([library, section_library], nodes, shape, outputs=("section", "y"))
        x = numpy.random.default_rng(RANK).integers(1 << 16, size=shape).astype("uint16")
        value = onnxruntime.OrtValue.ortvalue_from_numpy(x)
        times = {"node": [], "bare": []}
        for turn in range(1000 if x.size < 1 << 20 else 300):
            binding = running.io_binding()
            binding.bind_ortvalue_input("x", value)
            binding.bind_output("section")
            binding.bind_output("y")
            running.run_with_iobinding(binding)
            node = bench.bench_node_nanoseconds()
            section, y = binding.get_outputs()
            gathered = y.numpy().copy()
            bare = bench.bench_bare_nanoseconds(
                value.data_ptr(), section.data_ptr(), y.data_ptr(), *shape)
            numpy.testing.assert_array_equal(y.numpy(), gathered)
            if turn >= 100:  # the first ones are warm-up
                times["node"].append(node / 1e3)
                times["bare"].append(bare / 1e3)
        numpy.testing.assert_array_equal(numpy.split(gathered, SIZE, axis=1)[RANK], ~x)
        if RANK == 0:
            node, bare = (statistics.median(times[name]) for name in ("node", "bare"))
            print(f"{str(shape):>14} uint16   node {node:9.1f} us   bare {bare:9.1f} us   "
                  f"{node / bare:.2f} x", flush=True)


def measure_start(library):
    def seconds(make):
        nodes = [node for i in range(32) for node in make(f"t{i}", f"t{i + 1}")]
        for i in range(len(nodes[0].input)):
            nodes[0].input[i] = "x"
        nodes[-1].output[0] = "y"
        began = time.perf_counter()
        running = session([library], nodes, [1, 64])
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
    measures = {"nodes": measure_nodes, "bare": measure_bare, "start": measure_start}
    measures[sys.argv[2]](sys.argv[1], *sys.argv[3:])

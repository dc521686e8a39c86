"""Evaluates the ranks' models in one process, without muster: an independent reference.

All ranks' graphs become one graph, in which every AllGather is a Concat of the sections that its
group's members contribute.
"""
import glob
import os

import numpy as np
import onnx
import onnxruntime
from onnx import helper


def load(directory):
    """The ranks' models, in rank order."""
    count = len(glob.glob(os.path.join(directory, "rank*.onnx")))
    return [onnx.load(os.path.join(directory, f"rank{rank}.onnx")) for rank in range(count)]


def is_checkable(model):
    """ONNX's checker, unlike engines, wants a rank for every input and output."""
    return all(value.type.tensor_type.HasField("shape")
               for value in [*model.graph.input, *model.graph.output])


def check(directory):
    for path in glob.glob(os.path.join(directory, "rank*.onnx")):
        onnx.checker.check_model(path, full_check=True)


def gathers(model):
    return [node for node in model.graph.node if node.domain == "muster"]


def session(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])


def run(model, inputs):
    """The outputs of a model that is not split, in order."""
    return session(model).run(None, inputs)


def run_ranks(models, inputs):
    """The outputs of every rank, in order; checks that sections have the sizes that are declared."""
    merged, sections = merge(models)
    outputs = [[_of(rank, output.name) for output in model.graph.output]
               for rank, model in enumerate(models)]
    names = [name for rank in outputs for name in rank] + sorted(sections)
    values = dict(zip(names, session(merged).run(names, inputs)))
    for name, (dim, size) in sections.items():
        assert size is None or values[name].shape[dim] == size, (name, values[name].shape, size)
    return [[values[name] for name in rank] for rank in outputs]


def merge(models):
    """One model for all ranks, and its sections: name -> (gather_dim, extent if declared)."""
    merged = onnx.ModelProto()
    merged.CopyFrom(models[0])
    for field in ("node", "initializer", "value_info", "input", "output"):
        merged.graph.ClearField(field)
    shared = {value.name for value in models[0].graph.input} - {
        tensor.name for tensor in models[0].graph.initializer}
    merged.graph.input.extend(v for v in models[0].graph.input if v.name in shared)
    nodes, sections = [], {}
    for rank, model in enumerate(models):
        graph = onnx.GraphProto()
        graph.CopyFrom(model.graph)
        _prefix(graph, rank, shared)
        merged.graph.initializer.extend(graph.initializer)
        if model.ir_version < 4:
            initializers = {tensor.name for tensor in graph.initializer}
            merged.graph.input.extend(v for v in graph.input if v.name in initializers)
        merged.graph.output.extend(onnx.ValueInfoProto(name=v.name) for v in graph.output)
        nodes.extend(_without_gather(node, rank, sections) for node in graph.node)
    merged.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(sections))
    known = shared | {tensor.name for tensor in merged.graph.initializer} | {""}
    merged.graph.node.extend(_sorted(nodes, known))
    return merged, sections


def _of(rank, name):
    return f"rank{rank}:{name}"


def _without_gather(node, rank, sections):
    if node.domain != "muster":
        return node
    assert node.op_type == "AllGather"
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert set(attributes) <= {"group", "gather_dim", "sizes"}, attributes
    group, dim = attributes["group"], attributes["gather_dim"]
    assert rank in group
    section = node.input[0]
    plain = section.split(":", 1)[1]
    size = attributes["sizes"][group.index(rank)] if "sizes" in attributes else None
    sections[section] = dim, size
    return helper.make_node("Concat", [_of(member, plain) for member in group], node.output,
                            axis=dim)


def _prefix(graph, rank, shared):
    def renamed(name):
        return name if not name or name in shared else _of(rank, name)

    for values in (graph.input, graph.output, graph.initializer):
        for value in values:
            value.name = renamed(value.name)
    graph.ClearField("value_info")
    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
        for attribute in node.attribute:
            for inner in _inner_graphs(attribute):
                _prefix(inner, rank, shared)


def _inner_graphs(attribute):
    return [attribute.g] if attribute.HasField("g") else list(attribute.graphs)


def _used(node):
    """Names a node needs from outside of it."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in _inner_graphs(attribute):
            inside = {value.name for value in [*graph.input, *graph.initializer]}
            inside |= {name for inner in graph.node for name in inner.output}
            for inner in graph.node:
                names |= _used(inner) - inside
            names |= {value.name for value in graph.output} - inside
    return names


def _sorted(nodes, known):
    """The nodes in an order in which each comes behind those that it needs."""
    made = set(known)
    waiting = list(nodes)
    while waiting:
        ready = [node for node in waiting if _used(node) <= made]
        assert ready, "the ranks wait for each other in a circle"
        made |= {name for node in ready for name in node.output}
        yield from ready
        waiting = [node for node in waiting if not any(node is other for other in ready)]


def largest_difference(actual, expected):
    """The largest difference, as a part of the expected tensor's largest element."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    assert actual.dtype == expected.dtype, (actual.dtype, expected.dtype)
    if actual.size == 0:
        return 0.0
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    scale = max(1.0, np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return float(np.where(same, 0, np.abs(actual - expected)).max() / scale)

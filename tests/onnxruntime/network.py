"""Networks with AllGather nodes, and sessions that run them: what the layer's tests share."""
import os

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

RANK = int(os.environ.get("MUSTER_RANK", "0"))
SIZE = int(os.environ.get("MUSTER_WORLD_SIZE", "1"))
WORLD = list(range(SIZE))

MUSTER = os.environ["MUSTER_ONNXRUNTIME_LAYER"]
MICROSOFT = os.environ["MUSTER_ONNXRUNTIME_MICROSOFT_LAYER"]


def all_gather(tensor, output, domain="muster", name=None, **attributes):
    name = output + "_node" if name is None else name
    return helper.make_node("AllGather", [tensor], [output], name=name, domain=domain, **attributes)


def network(nodes, inputs, outputs, initializers=()):
    """A model. inputs and outputs: {name: (type, shape)}; a shape may be None or have names in it."""
    def values(table):
        return [helper.make_tensor_value_info(name, *value) for name, value in table.items()]
    graph = helper.make_graph(nodes, "network", values(inputs), values(outputs), initializers)
    domains = {"muster", "com.microsoft"} & {node.domain for node in nodes}
    opsets = [helper.make_opsetid("", 21), *(helper.make_opsetid(d, 1) for d in sorted(domains))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def gather_network(shape, element_type=TensorProto.FLOAT, **attributes):
    """x, gathered, is y."""
    return network([all_gather("x", "y", **attributes)],
                   {"x": (element_type, shape)}, {"y": (element_type, None)})


def options(libraries=(MUSTER,), **entries):
    """Session options; entries are configuration entries, with _ for the dots in their names."""
    result = onnxruntime.SessionOptions()
    result.intra_op_num_threads = 1
    result.log_severity_level = 4  # errors are what these tests look at themselves
    for name, value in {"muster_timeout__ms": "20000", **entries}.items():
        name = name.replace("__", "\0").replace("_", ".").replace("\0", "_")
        result.add_session_config_entry(name, value)
    for library in libraries:
        result.register_custom_ops_library(library)
    return result


def session(model, session_options=None):
    return onnxruntime.InferenceSession(
        model.SerializeToString(), session_options or options(), providers=["CPUExecutionProvider"])


def random_array(rank, shape, dtype=numpy.float32, seed=0):
    """What a rank holds: every rank can tell what every other does."""
    generator = numpy.random.default_rng([seed, rank])
    if numpy.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if numpy.dtype(dtype).kind == "b":
        return generator.random(shape) < 0.5
    return generator.integers(0, 1 << 7, shape).astype(dtype)


def with_extent(shape, dim, extent):
    changed = list(shape)
    changed[dim] = extent
    return changed

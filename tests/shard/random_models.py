"""Small random models with every operator that shard knows, and many that it has to stop at."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EXTENTS = [2, 3, 5, 7, 8, 9]  # fewer than 7 columns cannot be split over 7 ranks


class RandomModel:
    """A model of a few random nodes. `inputs` are values for its inputs."""

    def __init__(self, seed, nodes=12, opset=17, ir_version=8):
        self.random = np.random.default_rng(seed)
        self.opset, self.ir_version = opset, ir_version
        self.nodes, self.initializers, self.graph_inputs, self.functions = [], [], [], []
        self.inputs = {}
        self.shapes = {}  # of the float tensors that may be used
        self.constants = []  # (name, shape) that may be used again
        self.extra_outputs = []
        for _ in range(2):
            self.input([self.extent() for _ in range(self.pick([2, 2, 3]))])
        for _ in range(nodes):
            self.pick(self.STEPS)(self)
        self.model = self.finish()

    # Parts

    def pick(self, choices):
        return choices[self.random.integers(len(choices))]

    def chance(self, probability):
        return self.random.random() < probability

    def extent(self):
        return int(self.pick(EXTENTS))

    def name(self, kind):
        return f"{kind}{len(self.nodes) + len(self.initializers) + len(self.graph_inputs)}"

    def input(self, shape, values=None):
        name = self.name("in")
        if values is None:
            values = self.random.standard_normal(shape).astype(np.float32)
            self.shapes[name] = list(shape)
        self.inputs[name] = values
        symbolic = [f"{name}_{i}" if self.chance(0.5) else n for i, n in enumerate(shape)]
        self.graph_inputs.append(helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(values.dtype), symbolic))
        return name

    def tensor(self, dimensions=None):
        fitting = [name for name, shape in self.shapes.items()
                   if dimensions is None or len(shape) in dimensions]
        return self.pick(fitting) if fitting else None

    def constant(self, shape, scale=1.0, dtype=np.float32):
        """An initializer or a Constant node, stored in one of the ways there are."""
        shape = list(shape)
        again = [name for name, other in self.constants if other == shape]
        if dtype == np.float32 and again and self.chance(0.3):
            return self.pick(again)
        values = (self.random.standard_normal(shape) * scale).astype(dtype)
        name = self.name("c")
        if dtype == np.float32:
            self.constants.append((name, shape))
        way = self.random.random()
        tensor = numpy_helper.from_array(values, name)
        if way < 0.2:  # in a typed field
            tensor = helper.make_tensor(name, tensor.data_type, shape, values.flatten().tolist())
        if way < 0.7:
            self.initializers.append(tensor)
            if self.ir_version < 4 or way > 0.65:  # which the caller may replace, from IR 4 on
                self.graph_inputs.append(
                    helper.make_tensor_value_info(name, tensor.data_type, shape))
            elif way > 0.6:
                self.extra_outputs.append((name, tensor.data_type, shape))
        else:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def add(self, op, inputs, shape, **attributes):
        name = self.name("t")
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{name}", **attributes))
        self.shapes[name] = list(shape)
        return name

    # Nodes that can be split, or look as if

    def matmul(self):
        x = self.tensor([1, 2, 3, 4])
        shape = self.shapes[x]
        way = self.pick(["plain", "plain", "plain", "batched", "vector", "left"])
        k, n = shape[-1], self.extent()
        if way == "vector":
            self.add("MatMul", [x, self.constant([k])], shape[:-1])
        elif way == "batched" and len(shape) == 3:
            self.add("MatMul", [x, self.constant([shape[0], k, n], k**-0.5)], [*shape[:-1], n])
        elif way == "left" and len(shape) > 1:
            m = self.extent()
            self.add("MatMul", [self.constant([m, shape[-2]], 0.5), x], [*shape[:-2], m, k])
        else:
            self.add("MatMul", [x, self.constant([k, n], k**-0.5)], [*shape[:-1], n])

    def gemm(self):
        x = self.tensor([2])
        if x is None:
            return
        trans_a, trans_b = int(self.chance(0.3)), int(self.chance(0.5))
        m, k = self.shapes[x][::-1] if trans_a else self.shapes[x]
        n = self.extent()
        b = self.constant([n, k] if trans_b else [k, n], k**-0.5)
        inputs = [x, b]
        c = self.pick([None, [], [1], [n], [1, n], [m, 1], [m, n], "runtime"])
        if c == "runtime":
            fitting = [name for name, shape in self.shapes.items() if shape == [m, n]]
            if fitting:
                inputs.append(self.pick(fitting))
        elif c is not None:
            inputs.append(self.constant(c))
        self.add("Gemm", inputs, [m, n], transA=trans_a, transB=trans_b,
                 alpha=float(self.pick([1.0, 0.5])), beta=float(self.pick([1.0, 2.0])))

    def conv(self):
        x = self.tensor([3, 4])
        if x is None:
            return
        batch, channels, *spatial = self.shapes[x]
        group = channels if self.chance(0.15) else 1
        out = group * int(self.pick([1, 2])) if group > 1 else self.extent()
        kernel = [min(n, int(self.pick([1, 2]))) for n in spatial]
        inputs = [x, self.constant([out, channels // group, *kernel], (channels / group)**-0.5)]
        if self.chance(0.5):
            inputs.append(self.constant([out]))
        attributes = {"auto_pad": "SAME_UPPER"} if self.chance(0.3) else {}
        sides = [n if attributes else n - k + 1 for n, k in zip(spatial, kernel)]
        self.add("Conv", inputs, [batch, out, *sides], group=group, **attributes)

    def gather(self):
        indices = self.input([2, 3], self.random.integers(-4, 4, [2, 3]).astype(np.int64))
        way = self.pick(["columns", "columns", "last axis", "three dimensions"])
        if way == "last axis":
            self.add("Gather", [self.constant([3, 5]), indices], [3, 2, 3], axis=1)
        elif way == "three dimensions":
            n = self.extent()
            self.add("Gather", [self.constant([3, 5, n]), indices], [3, 2, 3, n], axis=-2)
        else:
            n = self.extent()
            self.add("Gather", [self.constant([6, n]), indices], [2, 3, n])

    # Nodes that can follow a split

    def broadcast(self, shape):
        """Some shape that broadcasts to `shape`, or makes it larger."""
        wanted = [n if self.chance(0.7) else 1 for n in shape[self.random.integers(len(shape) + 1):]]
        return [2, *([1] * (len(shape) - len(wanted))), *wanted] if self.chance(0.1) else wanted

    def with_constant(self):
        x = self.tensor()
        shape = self.shapes[x]
        other = self.broadcast(shape)
        result = list(np.broadcast_shapes(shape, other))
        inputs = [x, self.constant(other)]
        op = self.pick(["Add", "Sub", "Mul", "Max", "PRelu", "Sum"])
        if op == "PRelu":
            if result == shape:
                self.add(op, inputs, shape)
            return
        self.add(op, inputs[::self.pick([1, -1])], result)

    def unary(self):
        x = self.tensor()
        shape = self.shapes[x]
        op = self.pick(["Relu", "Tanh", "Sigmoid", "Erf", "LeakyRelu", "Identity", "Abs", "Neg",
                        "Softplus", "Dropout", "Clip", "Cast"])
        if op == "Clip":
            self.add(op, [x, self.constant([]), ""], shape)
        elif op == "Cast":
            name = self.name("d")
            self.nodes.append(helper.make_node(op, [x], [name], to=TensorProto.DOUBLE))
            self.add(op, [name], shape, to=TensorProto.FLOAT)
        else:
            self.add(op, [x], shape)

    def binary(self):
        x = self.tensor()
        shape = self.shapes[x]
        fitting = [name for name, other in self.shapes.items() if other == shape]
        self.add(self.pick(["Add", "Mul", "Sub", "Min"]), [x, self.pick(fitting)], shape)

    def silu(self):
        x = self.tensor()
        gate = self.add("Sigmoid", [x], self.shapes[x])
        self.add("Mul", [x, gate], self.shapes[x])

    def where(self):
        x = self.tensor()
        shape = self.shapes[x]
        condition = self.name("b")
        self.nodes.append(helper.make_node("Greater", [x, self.constant([])], [condition]))
        self.add("Where", [condition, x, self.constant(shape[-1:])], shape)

    def batch_normalization(self):
        x = self.tensor([2, 3, 4])
        shape = self.shapes[x]
        # Never shared: a variance is positive.
        parameters = [self.constant([shape[1]]) for _ in range(3)]
        variance = self.name("v")
        self.initializers.append(numpy_helper.from_array(
            self.random.uniform(0.5, 2, [shape[1]]).astype(np.float32), variance))
        if self.ir_version < 4:
            self.graph_inputs.append(
                helper.make_tensor_value_info(variance, TensorProto.FLOAT, [shape[1]]))
        self.add("BatchNormalization", [x, *parameters, variance], shape)

    # Nodes that need the whole

    def barrier(self):
        x = self.tensor()
        shape = self.shapes[x]
        op = self.pick(["Softmax", "Transpose", "ReduceMax", "Reshape", "Unsqueeze"])
        if op == "Transpose":
            order = [int(i) for i in self.random.permutation(len(shape))]
            self.add(op, [x], [shape[i] for i in order], perm=order)
        elif op == "ReduceMax":
            if shape:
                self.add(op, [x], [*shape[:-1], 1], axes=[-1])
        elif op == "Reshape":
            self.add(op, [x, self.constant_shape([-1])], [int(np.prod(shape))])
        elif op == "Unsqueeze":
            if len(shape) < 4:
                self.add(op, [x, self.constant_shape([0])], [1, *shape])
        elif shape:
            self.add(op, [x], shape, axis=-1)

    def constant_shape(self, values):
        name = self.name("s")
        self.nodes.append(helper.make_node("Constant", [], [name], value_ints=values))
        return name

    def branch(self):
        """An If whose branches use a tensor and a weight of the outer graph."""
        x = self.tensor([2])
        if x is None:
            return
        m, k = self.shapes[x]
        weight = self.constant([k, 8], k**-0.5)
        condition = self.input([], np.array(self.chance(0.5)))
        branches = [helper.make_graph([helper.make_node(op, inputs, [f"{op}_{condition}"])], op, [], [
            helper.make_tensor_value_info(f"{op}_{condition}", TensorProto.FLOAT, [None, None])])
            for op, inputs in (("MatMul", [x, weight]), ("Gemm", [x, weight]))]
        self.add("If", [condition], [m, 8], then_branch=branches[0], else_branch=branches[1])

    def loop(self):
        """A Loop that multiplies what it carries with a square weight of its own."""
        x = self.tensor([2])
        if x is None:
            return
        m, k = self.shapes[x]
        body_name = self.name("l")
        ends = [f"{body_name}_{end}" for end in ("i", "go", "x", "went", "y")]
        weight = numpy_helper.from_array(
            (self.random.standard_normal([k, k]) * k**-0.5).astype(np.float32), f"{body_name}_w")
        body = helper.make_graph(
            [helper.make_node("Identity", [ends[1]], [ends[3]]),
             helper.make_node("Constant", [], [weight.name], value=weight),
             helper.make_node("MatMul", [ends[2], weight.name], [ends[4]])],
            "body",
            [helper.make_tensor_value_info(ends[0], TensorProto.INT64, []),
             helper.make_tensor_value_info(ends[1], TensorProto.BOOL, []),
             helper.make_tensor_value_info(ends[2], TensorProto.FLOAT, [m, k])],
            [helper.make_tensor_value_info(ends[3], TensorProto.BOOL, []),
             helper.make_tensor_value_info(ends[4], TensorProto.FLOAT, [m, k])])
        trips = self.input([], np.array(2, np.int64))
        self.add("Loop", [trips, "", x], [m, k], body=body)

    def function(self):
        """A function of the model's own that multiplies its two arguments."""
        x = self.tensor([2, 3])
        if x is None:
            return
        if not self.functions:
            self.functions.append(helper.make_function(
                "local", "Product", ["a", "b"], ["c"],
                [helper.make_node("MatMul", ["a", "b"], ["c"])],
                [helper.make_opsetid("", self.opset)]))
        shape = self.shapes[x]
        self.add("Product", [x, self.constant([shape[-1], 8], 0.5)], [*shape[:-1], 8],
                 domain="local")

    STEPS = ([matmul] * 5 + [gemm] * 5 + [conv] * 5 + [gather] * 2 + [with_constant] * 6 +
             [unary] * 5 + [binary] * 2 + [silu, where] + [batch_normalization] * 3 +
             [barrier] * 3 + [branch, loop, function])

    def finish(self):
        used = {name for node in self.nodes for name in node.input}
        outputs = [name for name in self.shapes
                   if name not in self.inputs and (name not in used or self.chance(0.15))]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(self.shapes[name]))
                  for name in outputs]
        values += [helper.make_tensor_value_info(*value) for value in self.extra_outputs]
        graph = helper.make_graph(self.nodes, "random", self.graph_inputs, values,
                                  self.initializers)
        imports = [helper.make_opsetid("", self.opset)]
        if self.functions:
            imports.append(helper.make_opsetid("local", 1))
        model = helper.make_model(graph, opset_imports=imports, functions=self.functions,
                                  ir_version=self.ir_version)
        if self.chance(0.5):  # with the shapes of all tensors, where they can be inferred
            model = onnx.shape_inference.infer_shapes(model)
        return model

"""Random networks out of the pieces that exporters write, pruned and judged at other sizes than the analysed one.

    python tests/sweep/random_networks.py --seeds 0 1000 --out /tmp/random

A network has 2 to 12 pieces (PIECES below) over an open or fixed batch, height and width. It is pruned with random settings. The
written file must pass the checker and give, in onnxruntime, what the original gives with zeros at the deleted coordinates: at the
analysed sizes, at a batch of 3, and at another height and width. After --recover reconstruct, where weights differ, it must run at
these sizes and give each image of a batch what it gives it alone, if the original does.

Needs: numpy, onnx, onnxruntime.
"""

import argparse
import collections
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
from check import BINARY, TOLERANCE, apart, feed, masked, node_names, run, session
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


class Net:
    """A graph in the making. `x` is the present map: a name, with `c` channels; `scale` divides the input's height and width."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.rng = np.random.default_rng(seed)
        self.nodes, self.inits, self.inputs, self.outputs, self.functions = [], {}, [], [], []
        self.n, self.opset = 0, self.r.choice([13, 17, 18, 20, 21, 22])
        self.batch_open, self.size_open = self.r.random() < 0.7, self.r.random() < 0.5
        self.shared_zero, self.kinds = {}, []
        self.x, self.c, self.scale, self.skips = None, 0, 1, []

    def name(self, stem):
        self.n += 1
        return f"{stem}_{self.n}"

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        names = [self.name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=self.name("n"), domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, array, stem="const", as_node=None):
        array = np.asarray(array)
        if as_node if as_node is not None else (array.size < 8 and self.r.random() < 0.3):
            return self.op("Constant", value=numpy_helper.from_array(array, self.name("value")))
        name = self.name(stem)
        self.inits[name] = array
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64), "ints")

    def weight(self, *shape):
        fan = max(1, int(np.prod(shape[1:])))
        return self.rng.standard_normal(shape).astype(np.float32) * np.float32((2 / fan) ** 0.5)

    def bias(self, c):
        if self.r.random() < 0.3:  # exporters share equal constants
            if c not in self.shared_zero:
                self.shared_zero[c] = self.const(np.zeros(c, np.float32), "zero", False)
            return self.shared_zero[c]
        return self.const(self.rng.standard_normal(c).astype(np.float32) * 0.2, "bias", False)

    def dim(self, x, axis):
        """Axis `axis` of a value, as exporters ask for it, as a list of one."""
        if self.opset >= 15 and self.r.random() < 0.4:
            return self.op("Shape", x, start=axis, end=axis + 1)
        scalar = self.op("Gather", self.op("Shape", x), self.const(np.array(axis, np.int64), "at"), axis=0)
        return self.unsqueeze(scalar, 0)

    def unsqueeze(self, x, *axes):
        return self.op("Unsqueeze", x, self.ints(*axes))

    def reshape(self, x, *sizes):
        """Sizes are numbers, or names of lists of one."""
        if all(isinstance(s, int) for s in sizes):
            return self.op("Reshape", x, self.ints(*sizes))
        parts = [s if isinstance(s, str) else self.ints(s) for s in sizes]
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def mean(self, x, axes, keepdims=1):
        if self.opset >= 18:
            return self.op("ReduceMean", x, self.ints(*axes), keepdims=keepdims)
        return self.op("ReduceMean", x, axes=list(axes), keepdims=keepdims)

    def total(self, x, axes, keepdims=1):
        return self.op("ReduceSum", x, self.ints(*axes), keepdims=keepdims)

    def scalar(self, value):
        return self.const(np.array(value, np.float32), "scalar")

    def per_channel(self, low=0.5, high=1.5, c=None):
        return self.const(self.rng.uniform(low, high, (1, c or self.c, 1, 1)).astype(np.float32), "channels", False)

    def split(self, x, sizes, axis=1):
        if self.r.random() < 0.6 or self.opset < 13:
            return self.op("Split", x, self.ints(*sizes), outputs=len(sizes), axis=axis)
        parts, at = [], 0
        for s in sizes:
            parts.append(self.op("Slice", x, self.ints(at), self.ints(at + s), self.ints(axis)))
            at += s
        return parts

    # parts of pieces

    def conv(self, x, cin, cout, k=None, stride=1, group=1, dilation=1, weight=None):
        k = k or self.r.choice([1, 3])
        pad = dilation * (k // 2)
        inputs = [x, weight or self.const(self.weight(cout, cin // group, k, k), "w", False)]
        if self.r.random() < 0.6:
            inputs.append(self.bias(cout))
        return self.op("Conv", *inputs, kernel_shape=[k, k], pads=[pad] * 4, strides=[stride] * 2, group=group, dilations=[dilation] * 2)

    def norm(self, x, c):
        kind = self.r.choice(["none", "batch", "batch", "group", "group_spelled", "affine"])
        draw = lambda low, high, n: self.const(self.rng.uniform(low, high, n).astype(np.float32), "norm", False)
        if kind == "batch":
            return self.op("BatchNormalization", x, draw(0.5, 1.5, c), draw(-0.5, 0.5, c), draw(-0.5, 0.5, c), draw(0.5, 1.5, c))
        groups = next(g for g in (4, 3, 2, 1) if c % g == 0)
        if kind == "group" and self.opset >= 18:
            n = c if self.opset >= 21 else groups
            return self.op("GroupNormalization", x, draw(0.5, 1.5, n), draw(-0.5, 0.5, n), num_groups=groups)
        if kind == "group_spelled":
            flat = self.op("Reshape", x, self.ints(0, groups, -1))
            one, zero = self.const(np.ones(groups, np.float32)), self.const(np.zeros(groups, np.float32))
            y = self.op("InstanceNormalization", flat, one, zero)
            y = self.op("Reshape", y, self.op("Shape", x))
            return self.op("Add", self.op("Mul", y, draw(0.5, 1.5, (c, 1, 1))), draw(-0.5, 0.5, (c, 1, 1)))
        if kind == "affine":
            return self.op("Add", self.op("Mul", x, self.per_channel(c=c)), self.per_channel(-0.5, 0.5, c))
        return x

    def act(self, x, c):
        kind = self.r.choice(["Relu"] * 4 + ["silu", "hswish", "LeakyRelu", "prelu", "clip", "gelu", "Tanh", "Softplus", "none", "where"])
        if kind in ("Relu", "LeakyRelu", "Tanh", "Softplus"):
            return self.op(kind, x)
        if kind == "silu":
            return self.op("Mul", x, self.op("Sigmoid", x))
        if kind == "hswish":
            gate = self.op("Clip", self.op("Add", x, self.scalar(3)), self.scalar(0), self.scalar(6))
            return self.op("Div", self.op("Mul", x, gate), self.scalar(6))
        if kind == "prelu":
            return self.op("PRelu", x, self.const(self.rng.uniform(0, 0.5, (c, 1, 1)).astype(np.float32), "slope", False))
        if kind == "clip":
            return self.op("Clip", x, self.scalar(-1), self.scalar(2))
        if kind == "gelu":
            erf = self.op("Erf", self.op("Div", x, self.scalar(2**0.5)))
            return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.scalar(1))), self.scalar(0.5))
        if kind == "where":
            return self.op("Where", self.op("Greater", x, self.scalar(0)), x, self.op("Mul", x, self.scalar(0.1)))
        return x

    def layer(self, x, cin, cout, **how):
        return self.act(self.norm(self.conv(x, cin, cout, **how), cout), cout)

    def linear(self, x, cin, cout):
        y = self.op("MatMul", x, self.const(self.weight(cout, cin).T.copy(), "w", False))
        return self.op("Add", y, self.bias(cout)) if self.r.random() < 0.8 else y

    def layer_norm(self, x, c):
        scale = self.const(self.rng.uniform(0.5, 1.5, c).astype(np.float32), "norm", False)
        shift = self.const(self.rng.uniform(-0.5, 0.5, c).astype(np.float32), "norm", False)
        if self.opset >= 17 and self.r.random() < 0.6:
            return self.op("LayerNormalization", x, scale, shift, axis=-1)
        d = self.op("Sub", x, self.mean(x, [-1]))
        var = self.mean(self.op("Pow", d, self.scalar(2)), [-1])
        y = self.op("Div", d, self.op("Sqrt", self.op("Add", var, self.scalar(1e-5))))
        return self.op("Add", self.op("Mul", y, scale), shift)

    def to_sequence(self, x):
        return self.op("Transpose", self.reshape(x, self.dim(x, 0), self.c, -1), perm=[0, 2, 1])

    def to_map(self, y, like):
        y = self.op("Transpose", y, perm=[0, 2, 1])
        return self.reshape(y, self.dim(like, 0), self.c, self.dim(like, 2), self.dim(like, 3))


def width(net):
    return net.r.choice([4, 6, 8, 12, 16])


def piece_layer(n):
    c, stride = width(n), n.r.choice([1, 1, 2]) if n.scale < 4 else 1
    n.skips.append((n.x, n.c, n.scale))
    n.x = n.layer(n.x, n.c, c, k=3 if stride == 2 else None, stride=stride, dilation=n.r.choice([1, 1, 2]) if stride == 1 else 1)
    n.c, n.scale = c, n.scale * stride


def piece_residual(n):
    mid = width(n)
    y = n.conv(n.layer(n.x, n.c, mid), mid, n.c)
    n.x = n.act(n.op("Add", *n.r.sample([n.x, n.norm(y, n.c)], 2)), n.c)


def piece_own_residual(n):
    y = n.conv(n.x, n.c, n.c)
    n.x = n.op(n.r.choice(["Add", "Mul"]), n.x, n.op("Sigmoid", y) if n.r.random() < 0.5 else y)


def piece_depthwise(n):
    y = n.layer(n.x, n.c, n.c, k=3, group=n.c)
    c = width(n)
    n.x, n.c = n.layer(y, n.c, c, k=1), c


def piece_grouped(n):
    g = next(g for g in (4, 3, 2) if n.c % g == 0)
    n.x = n.layer(n.x, n.c, n.c, group=g)


def piece_shuffle(n):
    g = next(g for g in (3, 2) if n.c % g == 0)
    b, h, w = n.dim(n.x, 0), n.dim(n.x, 2), n.dim(n.x, 3)
    per = n.c // g
    if n.r.random() < 0.4:
        per = n.op("Div", n.dim(n.x, 1), n.ints(g))
    y = n.op("Transpose", n.reshape(n.x, b, g, per, h, w), perm=[0, 2, 1, 3, 4])
    n.x = n.reshape(y, b, n.r.choice([n.c, -1]), h, w)


def piece_squeeze_excite(n):
    mid = max(2, n.c // 2)
    pool = n.op("GlobalAveragePool", n.x) if n.r.random() < 0.5 else n.mean(n.x, [2, 3])
    if n.r.random() < 0.5:
        y = n.conv(n.op("Relu", n.conv(pool, n.c, mid, k=1)), mid, n.c, k=1)
    else:
        flat = n.reshape(pool, n.dim(n.x, 0), n.r.choice([n.c, -1]) if n.r.random() < 0.5 else n.dim(n.x, 1))
        y = n.linear(n.op("Relu", n.linear(flat, n.c, mid)), mid, n.c)
        y = n.reshape(y, n.dim(n.x, 0), n.c, 1, 1) if n.r.random() < 0.5 else n.unsqueeze(y, 2, 3)
    y = n.op(n.r.choice(["Sigmoid", "HardSigmoid"]), y)
    if n.r.random() < 0.4:
        y = n.op("Expand", y, n.op("Shape", n.x))
    n.x = n.op("Mul", *n.r.sample([n.x, y], 2))


def attention(n, seq, heads):
    c, d = n.c, n.r.choice([4, 6])
    q, k = (n.linear(seq, c, heads * d) for _ in "qk")
    v = n.linear(seq, c, heads * d)
    if heads > 1:
        b, l = n.dim(seq, 0), n.dim(seq, 1)
        cut = lambda t, perm: n.op("Transpose", n.reshape(t, b, n.r.choice([l, -1]), heads, d), perm=perm)
        q, k, v = cut(q, [0, 2, 1, 3]), cut(k, [0, 2, 3, 1]), cut(v, [0, 2, 1, 3])
    else:
        k = n.op("Transpose", k, perm=[0, 2, 1])
    score = n.op("MatMul", q, k)
    score = n.op("Div", score, n.scalar(d**0.5)) if n.r.random() < 0.5 else n.op("Mul", score, n.scalar(d**-0.5))
    y = n.op("MatMul", n.op("Softmax", score, axis=-1), v)
    if heads > 1:
        y = n.reshape(n.op("Transpose", y, perm=[0, 2, 1, 3]), b, n.r.choice([l, -1]), heads * d)
    return n.linear(y, heads * d, c)


def piece_attention(n):
    seq = n.to_sequence(n.x)
    y = n.op("Add", seq, attention(n, n.layer_norm(seq, n.c), n.r.choice([1, 2, 3])))
    if n.r.random() < 0.6:
        mid = width(n)
        y = n.op("Add", y, n.linear(n.op("Relu", n.linear(n.layer_norm(y, n.c), n.c, mid)), mid, n.c))
    n.x = n.to_map(y, n.x)


def piece_convnext(n):
    mid = width(n)
    y = n.op("Transpose", n.conv(n.x, n.c, n.c, k=3, group=n.c), perm=[0, 2, 3, 1])
    y = n.linear(n.op("Relu", n.linear(n.layer_norm(y, n.c), n.c, mid)), mid, n.c)
    if n.r.random() < 0.7:
        y = n.op("Mul", y, n.const(n.rng.uniform(0.5, 1.5, n.c).astype(np.float32), "gamma", False))
    n.x = n.op("Add", n.x, n.op("Transpose", y, perm=[0, 3, 1, 2]))


def piece_split(n):
    a = n.r.randrange(1, n.c)
    one, two = n.split(n.x, [a, n.c - a])
    how = n.r.choice(["layers", "half", "swap"])
    if how == "layers":
        p, q = width(n), width(n)
        n.x, n.c = n.op("Concat", n.layer(one, a, p), n.layer(two, n.c - a, q), axis=1), p + q
    elif how == "half":
        p = width(n)
        n.x, n.c = n.op("Concat", n.layer(one, a, p), two, axis=1), p + n.c - a
    else:
        n.x = n.op("Concat", two, one, axis=1)


def piece_glu(n):
    y = n.conv(n.x, n.c, 2 * n.c)
    if n.opset >= 18 and n.r.random() < 0.4:
        a, b = n.op("Split", y, outputs=2, axis=1, num_outputs=2)
    elif n.r.random() < 0.5:
        a, b = n.op("Split", y, outputs=2, axis=1) if n.opset < 18 else n.split(y, [n.c, n.c])
    else:
        a, b = n.split(y, [n.c, n.c])
    n.x = n.op("Mul", a, n.op("Sigmoid", b))


def piece_up(n):
    """Up to a skip's size, by its Shape or by scales; then added or concatenated."""
    skips = [s for s in n.skips if s[2] < n.scale]
    if not skips:
        return piece_layer(n)
    skip, c, scale = n.r.choice(skips)
    y, mode = n.x, n.r.choice(["nearest", "linear"])
    how = {"mode": mode, "coordinate_transformation_mode": "half_pixel" if mode == "linear" else "asymmetric"}
    if mode == "nearest":
        how["nearest_mode"] = "floor"
    if n.r.random() < 0.5:
        f = n.scale / scale
        y = n.op("Resize", y, "", n.const(np.array([1, 1, f, f], np.float32), "scales", False), **how)
    else:
        front = n.op("Concat", n.dim(y, 0), n.dim(y, 1), axis=0) if n.r.random() < 0.5 else n.op("Slice", n.op("Shape", y), n.ints(0), n.ints(2), n.ints(0))
        y = n.op("Resize", y, "", "", n.op("Concat", front, n.dim(skip, 2), n.dim(skip, 3), axis=0), **how)
    if n.r.random() < 0.5:
        n.x, n.c = n.op("Concat", y, skip, axis=1), n.c + c
    else:
        n.x = n.op("Add", y, n.conv(skip, c, n.c, k=1))
    n.scale = scale


def piece_pyramid(n):
    """A sum of several scales."""
    c = width(n)
    down = n.layer(n.x, n.c, c, k=3, stride=2)
    up = n.op("Resize", n.conv(down, c, n.c, k=1), "", n.const(np.array([1, 1, 2, 2], np.float32), "scales", False), mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    terms = [n.x, up, n.conv(n.x, n.c, n.c)]
    n.x = n.act(n.op("Sum", *terms) if n.r.random() < 0.5 else n.op("Add", n.op("Add", terms[0], terms[1]), terms[2]), n.c)


def piece_pool(n):
    kind = n.r.choice(["MaxPool", "AveragePool"])
    n.x = n.op(kind, n.x, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])


def piece_channel_constants(n):
    kind = n.r.choice(["Div", "Sub", "Mul", "mask", "Max", "Pow"])
    if kind == "mask":
        mask = (n.rng.random((1, n.c, 1, 1)) < 0.7).astype(np.float32)
        n.x = n.op("Mul", n.x, n.const(mask, "mask", False))
    elif kind == "Pow":
        n.x = n.op("Pow", n.op("Add", n.op("Abs", n.x), n.scalar(0.5)), n.per_channel())
    else:
        n.x = n.op(kind, n.x, n.per_channel())


def piece_attention_gate(n):
    """Means and maxima over channels (CBAM's spatial half)."""
    y = n.op("Concat", n.mean(n.x, [1]), n.op("ReduceMax", n.x, n.ints(1), keepdims=1) if n.opset >= 18 else n.op("ReduceMax", n.x, axes=[1], keepdims=1), axis=1)
    n.x = n.op("Mul", n.x, n.op("Sigmoid", n.conv(y, 2, 1, k=3)))


def piece_coordinates(n):
    """CoordConv: the column's number as one more channel, computed from the shape."""
    w = n.op("Squeeze", n.dim(n.x, 3), n.ints(0))
    columns = n.op("Range", n.const(np.array(0, np.int64), as_node=False), w, n.const(np.array(1, np.int64), as_node=False))
    columns = n.op("Div", n.op("Cast", columns, to=FLOAT), n.op("Cast", w, to=FLOAT))
    shape = n.op("Concat", n.dim(n.x, 0), n.ints(1), n.dim(n.x, 2), n.dim(n.x, 3), axis=0)
    n.x, n.c = n.op("Concat", n.x, n.op("Expand", columns, shape), axis=1), n.c + 1
    piece_layer(n)


def piece_shared_weight(n):
    """One weight, two layers."""
    w = n.const(n.weight(n.c, n.c, 3, 3), "w", False)
    n.x = n.act(n.conv(n.act(n.conv(n.x, n.c, n.c, k=3, weight=w), n.c), n.c, n.c, k=3, weight=w), n.c)


def piece_channel_pad(n):
    more = n.r.choice([1, 2])
    n.x = n.op("Pad", n.x, n.ints(0, 0, 0, 0, 0, more, 0, 0))
    n.c += more
    piece_layer(n)


def piece_transposed(n):
    if n.scale == 1:
        return piece_layer(n)
    g = n.r.choice([1, 1, 2]) if n.c % 2 == 0 else 1
    c = width(n)
    w = n.const(n.weight(n.c, c // g, 2, 2), "w", False)
    n.x = n.act(n.op("ConvTranspose", n.x, w, n.bias(c), kernel_shape=[2, 2], strides=[2, 2], group=g), c)
    n.c, n.scale = c, n.scale // 2


def piece_quantised(n):
    """Activations through int8 and back."""
    scale, zero = n.scalar(0.05), n.const(np.array(3, np.int8), "zero", False)
    n.x = n.op("DequantizeLinear", n.op("QuantizeLinear", n.x, scale, zero), scale, zero)


def piece_branch(n):
    """An If on a stored condition: a layer in the branch that is taken, or nothing."""
    inner = Net(n.r.randrange(1 << 30))
    inner.r, inner.rng, inner.opset, inner.n = n.r, n.rng, n.opset, n.n + 1000
    y = inner.layer(n.x, n.c, n.c)
    wrap = lambda name, nodes, out, stored: helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(out, FLOAT, None)], stored)
    stored = [numpy_helper.from_array(v, k) for k, v in inner.inits.items()]
    one = wrap("one", inner.nodes, y, stored)
    n.n = inner.n + 1
    skip = n.name("skip")
    other = wrap("other", [helper.make_node("Identity", [n.x], [skip])], skip, [])
    taken = n.r.random() < 0.7
    yes = n.const(np.array(taken), "condition")
    n.x = n.op("If", yes, then_branch=one, else_branch=other)


def piece_index_tuples(n):
    """Some columns of all channels overwritten, by stored tuples of (channel, column): batch and rows come last."""
    w = 16 // n.scale
    columns = sorted(n.r.sample(range(w), max(1, w // 2)))
    tuples = np.stack(np.meshgrid(np.arange(n.c), columns, indexing="ij"), -1).astype(np.int64)
    if n.size_open:
        return piece_layer(n)
    perm = n.op("Transpose", n.x, perm=[1, 3, 0, 2])
    y = n.op("Transpose", n.layer(n.x, n.c, n.c), perm=[1, 3, 0, 2])
    y = n.op("Slice", y, n.ints(0), n.ints(len(columns)), n.ints(1))
    n.x = n.op("Transpose", n.op("ScatterND", perm, n.const(tuples, "where", False), y), perm=[2, 0, 3, 1])


def piece_computed_weight(n):
    """A standardised weight, or one cut out of a buffer."""
    c, k = width(n), n.r.choice([1, 3])
    if n.r.random() < 0.5:
        w = n.const(n.weight(c, n.c, k, k), "v", False)
        d = n.op("Sub", w, n.mean(w, [1, 2, 3]))
        var = n.mean(n.op("Mul", d, d), [1, 2, 3])
        w = n.op("Div", d, n.op("Sqrt", n.op("Add", var, n.scalar(1e-4))))
    else:
        size, extra = c * n.c * k * k, n.r.choice([0, 7])
        buffer = n.const(n.rng.standard_normal(size + extra).astype(np.float32) * 0.3, "buffer", False)
        part = n.op("Slice", buffer, n.ints(0), n.ints(size), n.ints(0))
        w = n.op("Reshape", part, n.ints(c, n.c, k, k))
    n.x, n.c = n.act(n.conv(n.x, n.c, c, k=k, weight=w), c), c


def piece_response_norm(n):
    """Responses divided by their mean over channels, as ConvNeXt V2 does."""
    y = n.op("ReduceL2", n.x, n.ints(2, 3)) if n.opset >= 18 else n.op("ReduceL2", n.x, axes=[2, 3])
    share = n.op("Div", y, n.op("Add", n.mean(y, [1]), n.scalar(1e-3)))
    n.x = n.op("Add", n.x, n.op("Mul", n.op("Mul", n.x, share), n.per_channel()))


def piece_recurrent(n):
    """Lines of the picture through an LSTM, a GRU or an RNN, added back."""
    kind, h, d = n.r.choice(["LSTM", "GRU", "RNN"]), n.r.choice([3, 5]), n.r.choice([1, 2])
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    seq = n.op("Transpose", n.to_sequence(n.x), perm=[1, 0, 2])
    inputs = [seq, n.const(n.weight(d, gates * h, n.c), "w", False), n.const(n.weight(d, gates * h, h), "r", False)]
    if n.r.random() < 0.7:
        inputs.append(n.const(n.rng.standard_normal((d, 2 * gates * h)).astype(np.float32) * 0.2, "b", False))
    y = n.op(kind, *inputs, hidden_size=h, direction=["forward", "bidirectional"][d - 1])
    y = n.op("Transpose", y, perm=[2, 0, 1, 3])
    y = n.reshape(y, 0, 0, d * h) if not n.batch_open and not n.size_open else n.op("Reshape", y, n.ints(0, 0, -1))
    y = n.linear(y, d * h, n.c)
    n.x = n.op("Add", n.x, n.to_map(y, n.x))


def piece_function(n):
    """A layer behind a model-local function: y = act(x·a + b) with a default attribute."""
    if not n.functions:
        body = [
            helper.make_node("Mul", ["x", "a"], ["s"]),
            helper.make_node("LeakyRelu", ["s"], ["y"]),
        ]
        body[1].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
        f = helper.make_function("local", "Scaled", ["x", "a"], ["y"], body, [helper.make_opsetid("", n.opset)], attribute_protos=[helper.make_attribute("slope", 0.1)])
        n.functions.append(f)
    n.x = n.op("Scaled", n.conv(n.x, n.c, n.c), n.per_channel(), domain="local", **({"slope": 0.3} if n.r.random() < 0.5 else {}))


PIECES = {k[6:]: v for k, v in list(globals().items()) if k.startswith("piece_")}
WEIGHTS = {"layer": 5, "residual": 3, "quantised": 0.5, "function": 0.6}


def start(n):
    """The input: floats, or bytes that are divided; sometimes a mask or indices beside it."""
    batch, size = ("N" if n.batch_open else 1), (("H", "W") if n.size_open else (16, 16))
    kind = n.r.choice(["float"] * 6 + ["uint8", "uint8", "mask", "ids", "scale"])
    n.inputs.append(helper.make_tensor_value_info("x", TensorProto.UINT8 if kind == "uint8" else FLOAT, [batch, 3, *size]))
    n.x, n.c = "x", 3
    if kind == "uint8":
        n.x = n.op("Div", n.op("Cast", n.x, to=FLOAT), n.scalar(255))
    if n.r.random() < 0.3:
        n.x = n.op("Div", n.op("Sub", n.x, n.per_channel(0.3, 0.6)), n.per_channel(0.2, 0.4))
    piece_layer(n)
    if kind == "mask":
        n.inputs.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, [batch, 1, 1, 1]))
        n.x = n.op("Mul", n.x, n.op("Cast", "mask", to=FLOAT))
    if kind == "ids":
        n.inputs.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [batch]))
        rows = n.op("Gather", n.const(n.weight(201, n.c), "table", False), "ids", axis=0)
        n.x = n.op("Add", n.x, n.unsqueeze(rows, 2, 3))
    if kind == "scale":
        n.inputs.append(helper.make_tensor_value_info("strength", FLOAT, []))
        n.x = n.op("Mul", n.x, "strength")
    n.kinds.append(kind)


def finish(n):
    kind = n.r.choice(["classes", "classes", "map", "both", "gemm"])
    if kind in ("map", "both"):
        n.outputs.append(n.conv(n.x, n.c, 3, k=1))
    if kind == "gemm":
        flat = n.op("Flatten", n.op("GlobalAveragePool", n.x))
        n.outputs.append(n.op("Gemm", flat, n.const(n.weight(5, n.c), "w", False), n.bias(5), transB=1))
    if kind in ("classes", "both"):
        flat = n.mean(n.x, [2, 3], 0) if n.r.random() < 0.5 else n.reshape(n.op("GlobalAveragePool", n.x), n.dim(n.x, 0), -1)
        n.outputs.append(n.linear(flat, n.c, 5))


def build(seed):
    n = Net(seed)
    start(n)
    names = list(PIECES)
    for _ in range(n.r.randrange(1, 12)):
        kind = n.r.choices(names, [WEIGHTS.get(k, 1) for k in names])[0]
        if n.c > 32:
            kind = "layer"
        if kind == "shuffle" and n.c % 2 and n.c % 3 or kind == "grouped" and all(n.c % g for g in (2, 3, 4)) or kind == "split" and n.c < 2:
            kind = "layer"
        if kind == "pyramid" and n.scale > 4:
            kind = "layer"
        n.kinds.append(kind)
        PIECES[kind](n)
    finish(n)
    outputs = [helper.make_tensor_value_info(o, FLOAT, None) for o in n.outputs]
    graph = helper.make_graph(n.nodes, f"random_{seed}", n.inputs, outputs, [numpy_helper.from_array(v, k) for k, v in n.inits.items()])
    opsets = [helper.make_opsetid("", n.opset)] + [helper.make_opsetid("local", 1)] * bool(n.functions)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=n.functions)
    return onnx.shape_inference.infer_shapes(model), n


def settings(n):
    r = n.r
    words = ["--residual", r.choice(["auto", "auto", "tie", "expand", "select"])]
    criterion = r.choice(["random", "random", "l1", "gates"])
    words += ["--criterion", criterion]
    if criterion == "gates":
        words += ["--batches", "3", "--batch-size", "8", "--calib-size", "16"]
    if r.random() < 0.3:
        words += ["--round-to", r.choice(["2", "4", "8"])]
    recover = r.choice(["none", "none", "none", "reconstruct"])
    return words + ["--recover", recover], recover == "none"


def with_biases(model, path, biases):
    """Adds what compensation put into biases, each to its node's own; False where that cannot be told here."""
    original = onnx.load(path).graph
    outputs = {name: node.output[0] for node, name in zip(original.node, node_names(original))}
    tensors = {t.name: t for t in model.graph.initializer}
    nodes = {node.output[0]: node for node in model.graph.node}
    for b in biases:
        node = nodes.get(outputs.get(b["node"]))
        if node is None or node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            return False
        old = node.input[2] if len(node.input) > 2 else ""
        if old and old not in tensors:
            return False
        value = numpy_helper.to_array(tensors[old]) if old else np.float32(0)
        del node.input[2:]
        node.input.append(f"{b['node']} (bias)")
        value = (value + np.asarray(b["added"])).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, node.input[2]))
    return True


def masked_anywhere(path, masks, n, folder, x):
    """The masked original, at any size: the shapes of what is masked are those at the analysed sizes, as onnxruntime finds them for
    `x`, and only the channels' matter."""
    model = onnx.load(path)
    named = dict(zip(node_names(model.graph), model.graph.node))
    stored = {t.name for t in model.graph.initializer} | {i.name for i in model.graph.input}
    wanted = sorted({named[m["node"]].input[m["input"]] for m in masks} - stored)
    outputs = list(model.graph.output)
    del model.graph.value_info[:], model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(v, FLOAT, None) for v in wanted)
    found = session(model, folder).run(None, x) if wanted else []
    for name, value in zip(wanted, found):
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        model.graph.value_info.append(helper.make_tensor_value_info(name, kind, value.shape))
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    fixed = folder / "fixed.onnx"
    onnx.save(model, fixed)
    big = masked(fixed, masks)
    del big.graph.value_info[:]
    for o in big.graph.output:
        o.type.tensor_type.ClearField("shape")
    return big


def sizes(n):
    """Input sizes to judge at: the analysed, and others where they are open."""
    found = [(1, 16, 16)]
    if n.batch_open:
        found.append((3, 16, 16))
    if n.size_open:
        found += [(1, 24, 32)] + [(2, 32, 16)] * n.batch_open
    return found


def shapes_at(n, size):
    value = {"N": size[0], "H": size[1], "W": size[2]}
    dims = lambda i: [value.get(d.dim_param, d.dim_value) if d.dim_param else d.dim_value for d in i.type.tensor_type.shape.dim]
    return {i.name: dims(i) for i in n.inputs}


def feed_at(sess, n, size, seed):
    shapes, rng, out = shapes_at(n, size), np.random.default_rng(seed), {}
    plain = feed(sess, {k: v for k, v in shapes.items() if v}, seed)
    for i in sess.get_inputs():
        out[i.name] = plain[i.name] if shapes[i.name] else np.asarray(rng.uniform(0.5, 1.5), np.float32)
    return out


def images_alone(sess, x, n):
    """The outputs of each image of a batch alone, put together."""
    size = len(x["x"])
    pick = lambda i: {k: v if shapes_at(n, (1, 16, 16))[k] == [] else v[i : i + 1] for k, v in x.items()}
    parts = [sess.run(None, pick(i)) for i in range(size)]
    return [np.concatenate(p) for p in zip(*parts)]


def in_double(model):
    """The model with double precision in place of single."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    wide = lambda t: numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float64), t.name)
    for t in model.graph.initializer:
        if t.data_type == FLOAT:
            t.CopyFrom(wide(t))
    for node in model.graph.node:
        for a in node.attribute:
            if a.t.data_type == FLOAT:
                a.t.CopyFrom(wide(a.t))
            if node.op_type == "Cast" and a.name == "to" and a.i == FLOAT:
                a.i = TensorProto.DOUBLE
    for v in [*model.graph.input, *model.graph.output]:
        if v.type.tensor_type.elem_type == FLOAT:
            v.type.tensor_type.elem_type = TensorProto.DOUBLE
    del model.graph.value_info[:]
    return model


def apart_in_double(one, two, x):
    """As `apart`, in the reference's double precision: what rounding alone makes of a network is no difference."""
    x = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in x.items()}
    return apart(*(onnx.reference.ReferenceEvaluator(in_double(m)).run(None, x) for m in (one, two)))


def judge(seed, folder, binary):
    """(verdict, words): verdict is one of ok, refused, nothing free, skipped, WRONG, PANIC."""
    try:
        model, n = build(seed)
    except StopIteration:
        return "skipped", "no group fits", ""
    path, small, report = folder / "net.onnx", folder / "small.onnx", folder / "report.json"
    onnx.save(model, path)
    told = " ".join(n.kinds)
    try:
        original = session(path, folder)
        feeds = [feed_at(original, n, size, k) for k, size in enumerate(sizes(n))]
        plain = [original.run(None, x) for x in feeds]
    except Exception as e:
        return "skipped", "onnxruntime does not run the original: " + str(e)[:150], told
    if not all(np.isfinite(y).all() for ys in plain for y in ys):
        return "skipped", "the original is not finite", told
    small.unlink(missing_ok=True)
    shape = ["--input-shape", "x:1,3,16,16"] if n.size_open else []
    words, exact = settings(n)
    code, text, _, _ = run(binary, "inspect", path, *shape, *words[:2], "--json", report)
    if code:
        return ("refused" if code in (1, 2) and "panicked" not in text else "PANIC"), "inspect: " + text[-300:], told
    seen = json.loads(report.read_text())
    macs, least = seen["model"]["macs"], seen["channels"]["macs_smallest"]
    if least >= macs:
        return "nothing free", "", told
    target = int(macs - n.r.uniform(0.1, 1.0) * (macs - least))
    told += " | " + " ".join(words) + f" {target}/{macs}"
    code, text, _, _ = run(binary, path, small, *shape, *words, "--target-flops", max(target, 1), "--json", report, "--threads", 1, "--seed", seed % 7)
    if code:
        verdict = "refused" if code in (1, 2) and "panicked" not in text else "PANIC"
        return (verdict if code == 2 else "EXIT1" if verdict == "refused" else verdict), text[-400:], told
    done = json.loads(report.read_text())
    try:
        onnx.checker.check_model(str(small), full_check=True)
    except Exception as e:
        try:
            onnx.checker.check_model(str(path), full_check=True)
            return "WRONG", "the checker refuses it: " + str(e)[:300], told
        except Exception:
            pass
    try:
        two = session(small, folder)
        found = [two.run(None, x) for x in feeds]
    except Exception as e:
        return "WRONG", "does not run: " + str(e)[:300], told
    if any(a.shape != b.shape for ys, zs in zip(plain, found) for a, b in zip(ys, zs)):
        return "WRONG", "other shapes", told
    if exact:
        try:
            big = masked_anywhere(path, done["masks"], n, folder, feeds[0])
        except KeyError as e:
            return "ok", f"not judged: no node {e}", told
        if not with_biases(big, path, done.get("biases") or []):
            return "ok", "biases not judged", told
        one = session(big, folder)
        expected = [one.run(None, x) for x in feeds]
        worst = [apart(a, b) for a, b in zip(expected, found)]
        if not max(worst) <= TOLERANCE:
            exactly = [apart_in_double(big, onnx.load(small), x) for x in feeds]
            if max(exactly) <= 1e-9:
                return "ok", f"onnxruntime rounds by {max(worst):.1e}; in double precision {max(exactly):.1e} apart", told
            return "WRONG", f"differs by {worst} at {sizes(n)}", told
    for x, whole, left in zip(feeds, plain, found):
        if len(x["x"]) > 1 and apart(images_alone(original, x, n), whole) < 1e-4 and apart(images_alone(two, x, n), left) > 1e-3:
            return "WRONG", "an image of a batch has other outputs than alone", told
    return "ok", "" if exact else "reconstructed", told


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seeds", nargs=2, type=int, default=[0, 100])
    p.add_argument("--out", default="")
    p.add_argument("--binary", default=str(BINARY))
    p.add_argument("--until", type=float, default=0, help="stop at this time (seconds since 1970)")
    a = p.parse_args()
    out = Path(a.out or tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    counts, refusals, seeds = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(*a.seeds):
            if a.until and time.time() > a.until:
                break
            try:
                verdict, why, told = judge(seed, Path(folder), a.binary)
            except Exception as e:
                verdict, why, told = "driver", repr(e)[:300], ""
            counts[verdict] += 1
            if verdict == "ok" and "not judged" in why:
                counts["ok, " + why.split(":")[0]] += 1
            if verdict in ("refused", "EXIT1", "driver", "skipped"):
                line = " ".join(why.split())[:110]
                refusals[verdict + ": " + line] += 1
                seeds[verdict + ": " + line].append(seed)
            if verdict in ("WRONG", "PANIC", "EXIT1", "driver"):
                print(f"{seed} {verdict}: {' '.join(why.split())[:400]}\n    {told}", flush=True)
                shutil.copy(Path(folder) / "net.onnx", out / f"{seed}.onnx")
    print(dict(counts))
    for text, k in refusals.most_common(40):
        print(k, text, seeds[text][:3])
    return 1 if counts["WRONG"] + counts["PANIC"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# onnxruntime 1.27 to 1.32 on x86-64 refuses a valid int8 file: QuantizeLinear, DequantizeLinear, Reshape, at opset 21 or later.
#
# What one sees, with a file that 1.26 ran:
#     Node (y_q) Op (QuantizeLinear) [TypeInferenceError] output_dtype INT8 does not match y_zero_point type UINT8.
#
# What one would expect: it runs. The full checker of onnx passes it and the reference runs it. An activation stored in
# 8 bits looks like this: one scale and one int8 zero point, read by both nodes.
#
# What one would guess from the message, and what is seen instead:
#   - "The exporter wrote a wrong attribute, or mixed int8 and uint8." The file has neither an output_dtype nor anything uint8, and
#     no node y_q. Both come from onnxruntime's optimiser, from two passes that do not know of one another.
#   - "Then say output_dtype=INT8 in the file." That file is refused without a Reshape, too, and by 1.26 as well.
#   - "Leave the zero point out, it is 0, and say output_dtype=INT8." That runs from 1.27 on. 1.26 loads it, says nothing, and every
#     negative value behind the Reshape is 0.
#   - "It is the shared zero point", or "the initializer". One for each node, or Constant nodes: refused just the same.
#   - "It is Reshape." Also MaxPool, Transpose, Squeeze, Unsqueeze and Slice; not Flatten, which could do the same here.
#   - "Optimisation at the level that inserts the node is to blame." The node is inserted at ORT_ENABLE_BASIC, and BASIC runs. But
#     what BASIC saves (optimized_model_filepath) contains it, and that file is refused by default, by 1.26 as well.
#   - "onnxruntime's own quantiser will not write such files." quantize_static with its defaults for activations (int8) and
#     op_types_to_quantize=["Conv"] does, if a Reshape comes behind the last Conv.
#   - "It loads where I tested it." The second pass is one for x86: onnxruntime has a switch for it, session.qdqisint8allowed, whose
#     documentation says 1 for ARM. With 1 the file loads here. (No ARM machine was tried.)
#
# Why: QDQPropagationTransformer (level basic) copies the pair behind the nodes that only move values. Since 1.27 it writes
# output_dtype on the QuantizeLinear that it inserts; that repaired the silent zeros above (onnxruntime's pull request 28144). Later
# QDQS8ToU8Transformer (level extended) gives int8 pairs a uint8 zero point for the x86 kernels, and leaves the attribute as it is.
# Without either pass the file runs; both are switched off below, one at a time. The refusal of a written output_dtype is known
# (onnxruntime's issue 25526); no report was found of files without one. 1.28.0, 1.29.0, 1.30.0 and 1.31.1 were tried by hand and
# do as 1.27 and 1.32; 1.20 to 1.25 do as 1.26 at opset 21.
#
# What to do, each checked below to give the reference's values to the bit, in 1.26, 1.27 and 1.32:
#   in the file     a uint8 zero point, 128 higher;
#                   or QuantizeLinear and DequantizeLinear behind the Reshape, too; or opset 20.
#   in the program  session option session.qdqisint8allowed = 1; or disabled_optimizers=["QDQS8ToU8Transformer"];
#                   or ORT_ENABLE_BASIC.
# Not: output_dtype, and not the left-out zero point as long as anybody has 1.26 or older. A file from quantize_static runs if it
# was made with activation_type=QuantType.QUInt8.
#
# Needs: bash, python3 (3.11 or newer) with venv, x86-64, a package index. Exit status: 0 all as said; 1 something has changed;
# 2 not the right machine.
set -euo pipefail

if [ "$(uname -m)" != x86_64 ]; then
    echo "this is about x86-64; here is $(uname -m)" >&2
    exit 2
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >make.py <<'PYTHON'
"""Builds the files, has each checked in full, and writes the reference's values beside it."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

node = helper.make_node
x = np.linspace(-4, 4, 16, dtype=np.float32).reshape(1, 1, 4, 4)
np.save("x.npy", x)
BEHIND = {  # operator: its stored inputs, attributes, and the shape of the result
    "Reshape": ([np.array([1, 16])], {}, [1, 16]),
    "Transpose": ([], {"perm": [0, 1, 3, 2]}, [1, 1, 4, 4]),
    "MaxPool": ([], {"kernel_shape": [2, 2], "strides": [2, 2]}, [1, 1, 2, 2]),
    "Squeeze": ([np.array([1])], {}, [1, 4, 4]),
    "Unsqueeze": ([np.array([1])], {}, [1, 1, 1, 4, 4]),
    "Slice": ([np.array([0]), np.array([2]), np.array([3])], {}, [1, 1, 4, 2]),
    "Flatten": ([], {}, [1, 16]),
    "Relu": ([], {}, [1, 1, 4, 4]),
    None: ([], {}, [1, 1, 4, 4]),
}


def write(name, zero=np.int8(3), behind="Reshape", opset=21, output_dtype=None, own=False, constant_nodes=False, again=False):
    nodes, stored = [], []

    def store(key, value):
        tensor = numpy_helper.from_array(np.asarray(value), key)
        if constant_nodes and key != "argument0":
            nodes.append(node("Constant", [], [key], value=tensor))
        else:
            stored.append(tensor)
        return key

    def parameters(suffix):
        scale = store("scale" + suffix, np.float32(0.05))
        return [scale] if zero is None else [scale, store("zero" + suffix, zero)]

    first = parameters("")
    second = parameters("2") if own else first
    attributes = {} if output_dtype is None else {"output_dtype": output_dtype}
    nodes.append(node("QuantizeLinear", ["x", *first], ["q"], **attributes))
    nodes.append(node("DequantizeLinear", ["q", *second], ["d" if behind else "y"]))
    arguments, options, shape = BEHIND[behind]
    if behind:
        arguments = [store(f"argument{i}", a.astype(np.int64)) for i, a in enumerate(arguments)]
        nodes.append(node(behind, ["d", *arguments], ["t" if again else "y"], **options))
    if again:
        nodes.append(node("QuantizeLinear", ["t", *first], ["u"]))
        nodes.append(node("DequantizeLinear", ["u", *first], ["y"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, name, [value("x", TensorProto.FLOAT, x.shape)], [value("y", TensorProto.FLOAT, shape)], stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    y = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert y.min() < 0 or behind == "Relu", name
    onnx.save(model, name + ".onnx")
    np.save(name + ".npy", y)
    return y


plain = write("int8")
write("opset20", opset=20)
for opset in (22, 23, 24, 25):
    write(f"opset{opset}", opset=opset)
write("zero0", np.int8(0))
write("uint8", np.uint8(131))
write("own", own=True)
write("constants", constant_nodes=True)
write("again", again=True)
write("attribute", output_dtype=TensorProto.INT8)
write("attribute-alone", output_dtype=TensorProto.INT8, behind=None)
write("no-zero-point", None, output_dtype=TensorProto.INT8)
for op in BEHIND:
    if op not in ("Reshape", None):
        write(op, behind=op)
write("nothing-behind", behind=None)
for other in ("opset20", "uint8", "again"):  # what is proposed instead means the same
    assert np.array_equal(plain, np.load(other + ".npy")), other

# A small network for the quantiser: its last Conv has a Reshape and a Softmax behind it.
weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
network = helper.make_model(
    helper.make_graph(
        [
            node("Conv", ["x", "weight"], ["a"], "conv", pads=[1] * 4),
            node("Reshape", ["a", "shape"], ["b"], "reshape"),
            node("Softmax", ["b"], ["y"], "softmax", axis=1),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 64])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([1, 8, -1]), "shape")],
    ),
    opset_imports=[helper.make_opsetid("", 21)],
    ir_version=10,
)
onnx.checker.check_model(network, full_check=True)
onnx.save(network, "network.onnx")
print(f"onnx {onnx.__version__}, numpy {np.__version__}: every file passes check_model(full_check=True)")
model = onnx.load("int8.onnx")
print("int8.onnx, opset 21:")
for n in model.graph.node:
    print("   ", n.op_type, list(n.input), "->", list(n.output), "attributes:", [a.name for a in n.attribute])
for t in model.graph.initializer:
    print("   ", t.name, TensorProto.DataType.Name(t.data_type), numpy_helper.to_array(t).tolist())
print("the reference gives", [round(float(v), 2) for v in plain.ravel()])
PYTHON

cat >run.py <<'PYTHON'
"""Loads the files with the onnxruntime of this environment and compares with what the head of the script says."""
import sys

import numpy as np
import onnx
import onnxruntime as ort

version = ort.__version__
new = version != "1.26.0"
x = np.load("x.npy")
LEVELS = ort.GraphOptimizationLevel
changed = []


def options(level=LEVELS.ORT_ENABLE_ALL, entry=None):
    o = ort.SessionOptions()
    o.log_severity_level = 4
    o.graph_optimization_level = level
    if entry:
        o.add_session_config_entry(*entry)
    return o


def load(path, o=None, off=None):
    return ort.InferenceSession(path, o or options(), providers=["CPUExecutionProvider"], disabled_optimizers=off)


def seen(path, reference, **how):
    try:
        session = load(path + ".onnx", options(how.get("level", LEVELS.ORT_ENABLE_ALL), how.get("entry")), how.get("off"))
    except Exception as e:
        if "output_dtype INT8 does not match y_zero_point type UINT8" in str(e):
            return "refused"
        return "another error: " + str(e)
    if reference is None:
        return "runs"
    y = session.run(None, {"x": x})[0]
    right = np.load(reference + ".npy")
    if np.array_equal(y, right):
        return "right"
    if np.array_equal(y, np.maximum(right, 0)):
        return "WRONG: negatives are 0"
    return f"wrong by {np.abs(y - right).max()}"


def check(what, path, expected, reference="", **how):
    compare(what, seen(path, path if reference == "" else reference, **how), expected)


def compare(what, found, expected):
    print(f"    {what:64} {found}")
    if found != expected:
        changed.append(f"onnxruntime {version}: {what}: {found}, and it was: {expected}")


fails = "refused" if new else "right"
print(f"onnxruntime {version}")
check("int8 zero point, opset 21, Reshape", "int8", fails)
try:
    load("int8.onnx")
except Exception as e:
    print("   ", str(e).splitlines()[0])
print("  by level")
for name, expected in (("DISABLE_ALL", "right"), ("ENABLE_BASIC", "right"), ("ENABLE_EXTENDED", fails), ("ENABLE_ALL", fails)):
    check("ORT_" + name, "int8", expected, level=getattr(LEVELS, "ORT_" + name))
print("  by opset, zero point and where it is stored")
for opset in (22, 23, 24, 25):
    check(f"opset {opset}", f"opset{opset}", fails)
check("zero point 0", "zero0", fails)
check("a scale and a zero point for each node", "own", fails)
check("in Constant nodes", "constants", fails)
print("  by what is behind")
for op in ("Transpose", "MaxPool", "Squeeze", "Unsqueeze", "Slice"):
    check(op, op, fails)
for op in ("Flatten", "Relu"):
    check(op, op, "right")
check("nothing", "nothing-behind", "right")
print("  what the message suggests")
check("output_dtype=INT8 beside the int8 zero point", "attribute", "refused")
check("the same with nothing behind", "attribute-alone", "refused")
check("output_dtype=INT8 and no zero point", "no-zero-point", "right" if new else "WRONG: negatives are 0")
print("  which passes it takes")
check("without QDQPropagationTransformer", "int8", "right", off=["QDQPropagationTransformer"])
check("without QDQS8ToU8Transformer", "int8", "right", off=["QDQS8ToU8Transformer"])
print("  what helps")
check("uint8 zero point, 128 higher", "uint8", "right", "int8")
check("QuantizeLinear and DequantizeLinear behind the Reshape, too", "again", "right", "int8")
check("opset 20", "opset20", "right", "int8")
check("session.qdqisint8allowed = 1", "int8", "right", entry=("session.qdqisint8allowed", "1"))

print("  what level basic makes of the file")
o = options(LEVELS.ORT_ENABLE_BASIC)
o.optimized_model_filepath = f"saved-{version}.onnx"
load("int8.onnx", o)
saved = onnx.load(o.optimized_model_filepath)
onnx.checker.check_model(saved, full_check=True)
inserted = [n for n in saved.graph.node if n.op_type == "QuantizeLinear" and n.input[0] != "x"]
kinds = [a.i for n in inserted for a in n.attribute if a.name == "output_dtype"]
found = "none" if not any(kinds) else ", ".join(onnx.TensorProto.DataType.Name(k) for k in kinds)
compare(f"output_dtype of the inserted node ({', '.join(n.name for n in inserted)})", found, "INT8" if new else "none")

if version == sys.argv[1]:  # the newest also quantises
    import logging

    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    logging.disable(logging.WARNING)

    class Pictures(CalibrationDataReader):
        def __init__(self):
            rng = np.random.default_rng(1)
            self.all = iter([{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.all, None)

    for path, more in (("quantised", {}), ("quantised-uint8", {"activation_type": QuantType.QUInt8})):
        quantize_static("network.onnx", path + ".onnx", Pictures(), op_types_to_quantize=["Conv"], **more)
        model = onnx.load(path + ".onnx")
        onnx.checker.check_model(model, full_check=True)
        assert [i.version for i in model.opset_import if i.domain == ""] == [21]

print("  what the newest wrote")
newest = f"saved-{sys.argv[1]}"
check("the file saved at level basic", newest, "refused", "int8")
check("the file saved at level basic, loaded at level basic", newest, "right", "int8", level=LEVELS.ORT_ENABLE_BASIC)
check("quantize_static, only Conv, int8 activations (default)", "quantised", "refused" if new else "runs", None)
check("quantize_static, only Conv, uint8 activations", "quantised-uint8", "runs", None)
print()
for line in changed:
    print("CHANGED:", line)
sys.exit(1 if changed else 0)
PYTHON

python3 --version
for version in 1.32.0 1.27.0 1.26.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/python" -m pip install --quiet --disable-pip-version-check \
        "onnxruntime==$version" onnx==1.23.2 numpy==2.4.6
done
venv-1.32.0/bin/python make.py
echo

status=0
for version in 1.32.0 1.27.0 1.26.0; do # the newest first: the others are given what it wrote
    "venv-$version/bin/python" run.py 1.32.0 || status=1
done
if [ "$status" = 0 ]; then
    echo "as described"
else
    echo "not as described: see the lines that start with CHANGED" >&2
fi
exit "$status"

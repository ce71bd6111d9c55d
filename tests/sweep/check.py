"""Prune one ONNX file with the command line, and judge the result without it.

The file is pruned by random scores, so that REACH of what its channels allow is gone. Then, in Python alone:
  the small file passes the ONNX checker (full check, shapes inferred);
  in onnxruntime it gives what the original gives with zeros at the deleted coordinates (the report's `masks`).
The program's own verdicts, in its executor and in tract, are read from its report.

Needs: numpy, onnx, onnxruntime.
"""

import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

REACH = 0.7
TOLERANCE = 1e-4
ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/release/autobot-onnx"


@dataclass
class Row:
    """What was found of one file."""

    name: str
    status: str = ""  # pruned, refused, or what is wrong
    why: str = ""
    nodes: int = 0
    macs: int = 0
    smallest: int = 0
    kept: int = 0
    executor: float | None = None
    tract: float | None = None
    tract_says: str = ""
    onnxruntime: float | None = None
    frozen: int = 0
    unexplained: int = 0
    unknown: dict = field(default_factory=dict)
    seconds: float = 0.0
    megabytes: float = 0.0

    def json(self):
        return json.dumps(asdict(self))

    @property
    def share(self):
        """Share of the MACs that can be deleted."""
        return 1 - self.smallest / self.macs if self.macs else 0.0


def run(binary, *words):
    """Runs the program; its exit code, its error text, seconds and peak memory in MB."""
    start = time.time()
    child = subprocess.Popen([str(binary), *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    text = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, text.strip(), time.time() - start, usage.ru_maxrss / 1024


def masked(path, masks):
    """The original with every operand in `masks` multiplied by zero at the coordinates that are not kept."""
    model = onnx.load(path)
    graph = model.graph
    known = onnx.shape_inference.infer_shapes(model).graph
    ports = [*known.value_info, *known.input, *known.output]
    types = {v.name: v.type.tensor_type for v in ports}
    types.update({t.name: t for t in graph.initializer})
    names, nodes = node_names(graph), []
    for node, name in zip(graph.node, names):
        for k, cut in enumerate(m for m in masks if m["node"] == name):
            x = node.input[cut["input"]]
            kind = types.get(x.split(" (masked")[0])
            rank = len(kind.dims) if hasattr(kind, "dims") else len(kind.shape.dim)
            sizes = list(kind.dims) if hasattr(kind, "dims") else [d.dim_value for d in kind.shape.dim]
            dtype = kind.data_type if hasattr(kind, "data_type") else kind.elem_type
            factor = np.zeros([sizes[cut["axis"]]] + [1] * (rank - cut["axis"] - 1))
            factor[cut["kept"]] = 1
            mask, result = f"{name} (mask {k})", f"{x} (masked for {name}, {k})"
            graph.initializer.append(
                numpy_helper.from_array(factor.astype(onnx.helper.tensor_dtype_to_np_dtype(dtype)), mask)
            )
            nodes.append(onnx.helper.make_node("Mul", [x, mask], [result]))
            node.input[cut["input"]] = result
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def node_names(graph):
    """Unique names of the nodes, as the program makes them up where the file has none."""
    taken, names = set(), []
    for node in graph.node:
        own = node.name if node.name and node.name not in taken else ""
        taken.add(own or node.name)
        names.append(own)
    for n, node in enumerate(graph.node):
        if names[n]:
            continue
        output = next((o for o in node.output if o), None)
        wish = f"{node.name or node.op_type} -> {output}" if output else f"{node.name or node.op_type} #{n}"
        name, k = wish, 1
        while name in taken:
            k += 1
            name = f"{wish} ({k})"
        taken.add(name)
        names[n] = name
    return names


# What these give depends on comparisons: where two scores are nearly equal, rounding decides.
DISCRETE = {"TopK", "NonMaxSuppression", "NonZero", "ArgMax", "ArgMin", "Unique"}
COMPARISONS = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual"}


def decided(path):
    """Floating-point values that go into decisions, and outputs that follow from none; None if nothing is decided."""
    model = onnx.load(path, load_external_data=False)
    if not any(n.op_type in DISCRETE for n in model.graph.node):
        return None
    known = onnx.shape_inference.infer_shapes(model)
    kinds = {v.name: v.type.tensor_type.elem_type for v in [*known.graph.value_info, *known.graph.output]}
    made = {o for n in model.graph.node for o in n.output}
    tainted, targets = set(), []
    for node in model.graph.node:
        inner = {i for a in node.attribute if a.HasField("g") for n in a.g.node for i in n.input}
        inputs = {*node.input, *inner}
        decides = node.op_type in DISCRETE | COMPARISONS
        if decides or tainted & inputs:
            tainted |= set(node.output)
            clean = (i for i in node.input if i in made and i not in tainted)
            targets += [i for i in clean if kinds.get(i) == onnx.TensorProto.FLOAT]
    return list(dict.fromkeys(targets + [o.name for o in model.graph.output if o.name not in tainted]))


def expose(model, names):
    """Makes `names` the model's outputs."""
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))


def session(model, folder):
    """An onnxruntime session of a path or a model."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    # What a graph optimiser does with equal channels must not enter the comparison.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not isinstance(model, (str, Path)):
        path = Path(folder) / "masked.onnx"
        big = sum(len(t.raw_data) for t in model.graph.initializer) > 1_500_000_000
        onnx.save(model, path, save_as_external_data=big, location="masked.data")
        model = path
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


KINDS = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


def feed(sess, shapes, seed):
    """Random values for every input."""
    rng = np.random.default_rng(seed)
    out = {}
    for i in sess.get_inputs():
        shape = shapes.get(i.name) or [d if isinstance(d, int) and d > 0 else 1 for d in i.shape]
        kind = KINDS[i.type]
        x = rng.standard_normal(shape)
        if not np.issubdtype(kind, np.floating):
            x = np.abs(x) > 0.7 if kind is np.bool_ else np.clip(np.abs(x) * 50, 0, 200)
        out[i.name] = np.asarray(x, kind)
    return out


def apart(a, b):
    """max |a - b| over all outputs, each relative to its range."""
    worst = 0.0
    for u, v in zip(a, b):
        if isinstance(u, list) or getattr(u, "dtype", None) is None or u.dtype.kind not in "fiub":
            continue
        if u.shape != v.shape:
            return float("inf")
        if u.size == 0:
            continue
        u, v = u.astype(np.float64), v.astype(np.float64)
        finite = np.isfinite(u) & np.isfinite(v)
        if ((u != v) & ~(np.isnan(u) & np.isnan(v)) & ~finite).any():
            return float("inf")
        u, v = u[finite], v[finite]
        if u.size:
            # One value, or all alike: the value itself is the scale.
            scale = max(np.ptp(u), np.abs(u).max() * 1e-2, 1e-6)
            worst = max(worst, float(np.abs(u - v).max()) / scale)
    return worst


def check(path, folder, binary=BINARY, shapes=(), name=None, threads=2, samples=2):
    """Everything about one file, as a Row; never raises for what the file does."""
    path, folder = Path(path), Path(folder)
    row = Row(name or path.stem)
    sizes = [w for s in shapes for w in ("--input-shape", s)]
    report, small = folder / "report.json", folder / "small.onnx"
    code, text, seconds, _ = run(binary, "inspect", path, *sizes, "--json", report)
    if code:
        row.status, row.why = ("refused" if code == 2 else f"inspect exits with {code}"), text[-600:]
        return row
    seen = json.loads(report.read_text())
    row.nodes, row.macs = seen["model"]["nodes"], seen["model"]["macs"]
    row.smallest = seen["channels"]["macs_smallest"]
    row.unknown = seen["model"]["unknown_operators"]
    row.frozen = sum(f["channels"] for f in seen["channels"]["frozen"])
    row.unexplained = sum(f["channels"] for f in seen["channels"]["frozen"] if not f["why"])
    if row.smallest >= row.macs:
        row.status, row.why = "nothing free", "; ".join(sorted({f"{f['node']} {f['why']}" for f in seen["channels"]["frozen"]}))[:600]
        return row
    target = int(row.macs - REACH * (row.macs - row.smallest))
    code, text, row.seconds, row.megabytes = run(
        binary, path, small, *sizes, "--criterion", "random", "--target-flops", max(target, 2),
        "--json", report, "--threads", threads,
    )  # fmt: skip
    if code:
        row.status, row.why = ("refused" if code == 2 else f"exits with {code}"), text[-600:]
        return row
    done = json.loads(report.read_text())
    row.kept = done["macs_after"]
    proof = done["verification"]
    row.executor, row.tract, row.tract_says = proof["relative"], proof["tract"], proof["tract_says"] or ""
    try:
        onnx.checker.check_model(str(small), full_check=True)
    except Exception as e:
        try:
            onnx.checker.check_model(str(path), full_check=True)
        except Exception:
            row.why = "the checker refuses the original too"
        else:
            row.status, row.why = "fails the checker", str(e)[:600]
            return row
    try:
        original = session(path, folder)
    except Exception as e:
        row.status, row.why = "not judged", f"onnxruntime does not run the original: {str(e)[:200]}"
        return row
    given = {p["name"]: p["shape"] for p in seen["model"]["inputs"]}
    try:
        feeds = [feed(original, given, seed) for seed in range(samples)]
        del original
        names = decided(path)
        big, little = masked(path, done["masks"]), onnx.load(small) if names is not None else small
        if names is not None:
            expose(big, names)
            expose(little, names)
        one = session(big, folder)
        expected = [one.run(None, x) for x in feeds]
        del one, big
        two = session(little, folder)
        found = [two.run(None, x) for x in feeds]
    except Exception as e:
        row.status, row.why = "fails in onnxruntime", str(e)[:600]
        return row
    row.onnxruntime = max(apart(a, b) for a, b in zip(expected, found))
    bad = [v for v in (row.executor, row.tract, row.onnxruntime) if v is not None and not v <= TOLERANCE]
    row.status = "differs" if bad else "pruned"
    return row


def number(x):
    return "–" if x is None else ("0" if x == 0 else f"{x:.0e}")


def table(rows):
    """A Markdown table."""
    lines = [
        "| model | MACs | prunable | kept here | in our executor | in tract | in onnxruntime |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in rows:
        if r.status != "pruned":
            lines.append(f"| {r.name} | {r.macs / 1e6:.1f} M | {r.share:.1%} | {r.status}: {' '.join(r.why.split())[:200]} | | | |")
            continue
        tract = number(r.tract) if r.tract is not None else "cannot run it"
        lines.append(
            f"| {r.name} | {r.macs / 1e6:.1f} M | {r.share:.1%} | {r.kept / max(r.macs, 1):.1%} "
            f"| {number(r.executor)} | {tract} | {number(r.onnxruntime)} |"
        )
    return "\n".join(lines)

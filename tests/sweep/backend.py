#!/usr/bin/env python3
"""ONNX's own backend tests: node tests in our executor, and the nine "light" models pruned.

Every node test whose operators are all in the program's table is written to a folder as one file: the network, its given
inputs and expected outputs as Constant nodes `given:NAME` and `expected:NAME`. `tests/networks/backend.rs` reads them.

  python tests/sweep/backend.py            # both
  python tests/sweep/backend.py --write FOLDER
  ONNX_NODE_TESTS=FOLDER cargo test --release --test networks -- --ignored node_tests

Needs: numpy, onnx, onnxruntime, and `cargo build --release`.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

import check


def table():
    """The operators that the program knows, as the README lists them."""
    text = (check.ROOT / "README.md").read_text()
    return set(re.findall(r"`(\w+)`", text.split("<!-- operators: begin -->")[1].split("<!-- operators: end -->")[0]))


def cases():
    """ONNX's node tests: name, model, inputs, outputs, rtol, atol."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            for x, y in case.data_sets[:1]:
                yield case.name, case.model, x, y, case.rtol, case.atol
    data = Path(onnx.__file__).parent / "backend/test/data"
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for folder in sorted((data / kind).glob("test_*")):
            model = onnx.load(folder / "model.onnx")
            tensors = []
            for what in ("input", "output"):
                found = sorted(folder.glob(f"test_data_set_0/{what}_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
                try:
                    tensors.append([numpy_helper.to_array(onnx.load_tensor(p)) for p in found])
                except Exception:
                    tensors = []
                    break
            if len(tensors) == 2:
                yield folder.name, model, *tensors, 1e-3, 1e-7


# The program computes with these; everything else (8-bit floats, 4-bit integers, strings, complex numbers) it carries.
COMPUTED = {
    onnx.TensorProto.DataType.Value(n)
    for n in "FLOAT DOUBLE FLOAT16 BFLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL".split()
}


def proto(name, value):
    return value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(np.asarray(value), name)


def constant(role, name, value):
    """A Constant node called ROLE:NAME; where it holds NaN or infinity, which weights may not, its bits."""
    tensor = proto(name, value)
    array = numpy_helper.to_array(tensor)
    kind = str(array.dtype)
    if kind in ("float32", "float64", "float16", "bfloat16") and not np.isfinite(array.astype(np.float64)).all():
        role += " bits"
        array = np.ascontiguousarray(array)
        tensor = numpy_helper.from_array(array.view(f"uint{8 * array.itemsize}").reshape(array.shape), name)
    return helper.make_node("Constant", [], [f"{role}:{name}"], name=f"{role}:{name}", value=tensor)


def kinds(model, values):
    """Element types that a case computes with."""
    found = {proto("", v).data_type for v in values} | {t.data_type for t in model.graph.initializer}
    for node in model.graph.node:
        for a in node.attribute:
            if a.name in ("to", "dtype", "output_dtype") and a.i:
                found.add(a.i)
            elif a.type == onnx.AttributeProto.TENSOR:
                found.add(a.t.data_type)
    return found


def write(folder):
    """Writes the cases; their number, and what was left out and why."""
    known, written, left = table(), 0, {}
    for name, model, x, y, rtol, atol in cases():
        nodes = model.graph.node
        strange = {n.op_type for n in nodes if n.op_type not in known or n.domain not in ("", "ai.onnx")}
        opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        why = None
        if strange:
            why = "an operator that is not in the table"
        elif opset < 7:
            why = "an opset before 7"
        elif any(isinstance(v, (list, dict)) or v is None for v in [*x, *y]):
            why = "sequences, maps or optional values"
        elif not kinds(model, [*x, *y]) <= COMPUTED:
            why = "an element type that is only carried (8-bit floats, integers of 4 and 2 bits, strings)"
        elif "training" in name or any(n.op_type == "BatchNormalization" and len(n.output) > 1 for n in nodes):
            why = "training mode, which a network to be deployed has left behind"
        if why:
            left.setdefault(why, []).append(name)
            continue
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        stored = {t.name for t in copy.graph.initializer}
        inputs = [i for i in copy.graph.input if len(x) == len(copy.graph.input) or i.name not in stored]
        added = []
        for i, v in zip(inputs, x):
            if np.asarray(v).size == 0 and not isinstance(v, onnx.TensorProto):
                # An input of size zero cannot be told from one whose size is open.
                node = constant("given", i.name, v)
                node.output[0] = i.name
                copy.graph.input.remove(i)
                copy.graph.node.insert(0, node)
            else:
                added.append(constant("given", i.name, v))
        added += [constant("expected", o.name, v) for o, v in zip(copy.graph.output, y)]
        copy.graph.node.extend(added)
        for key, v in (("rtol", rtol), ("atol", atol)):
            copy.metadata_props.add(key=key, value=str(v))
        onnx.save(copy, folder / f"{name}.onnx")
        written += 1
    return written, left


def light():
    """The nine light models, pruned."""
    rows = []
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(check.check(path, folder))
    print(check.table(rows))
    return all(r.status == "pruned" for r in rows)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", type=Path, help="write the node tests here and stop")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as temp:
        folder = a.write or Path(temp)
        folder.mkdir(parents=True, exist_ok=True)
        written, left = write(folder)
        print(f"{written} node tests")
        for why, names in left.items():
            print(f"left out, {why}: {len(names)}")
        if a.write:
            return
        words = ["cargo", "test", "--release", "--test", "networks", "--", "--ignored", "--nocapture", "node_tests"]
        code = subprocess.run(words, cwd=check.ROOT, env=os.environ | {"ONNX_NODE_TESTS": str(folder)}).returncode
    sys.exit(0 if light() and not code else 1)


if __name__ == "__main__":
    main()

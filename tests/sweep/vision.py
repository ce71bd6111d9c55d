#!/usr/bin/env python3
"""Prune torchvision's networks, as torch.onnx exports them, and judge each result in onnxruntime.

Classification, segmentation, detection and optical flow, random weights, both exporters (TorchScript and dynamo). Each
network is exported into a temporary folder, pruned by random scores and thrown away.

  python tests/sweep/vision.py [--only resnet] [--exporter torchscript dynamo] [--jobs 4] [--out rows.jsonl]
  python tests/sweep/vision.py --table rows.jsonl …

Needs: torch, torchvision, numpy, onnx, onnxruntime, onnxscript, and `cargo build --release`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import check

EXPORTERS = ("torchscript", "dynamo")


def names():
    """Classification, segmentation, detection, optical flow."""
    import torchvision.models as tv

    found = []
    for module in (tv, tv.segmentation, tv.detection, tv.optical_flow):
        found += tv.list_models(module=module)
    return found


def build(name):
    """The network with random weights, and example inputs."""
    import torch
    import torchvision.models as tv

    torch.manual_seed(0)
    extra = {}
    size = 224
    if name in tv.list_models(module=tv.detection):
        extra = {"weights_backbone": None}
        size = 320
        if not name.startswith("ssd"):
            extra |= {"min_size": 320, "max_size": 320}
        if name.startswith("ssd300"):
            size = 300
    elif name in tv.list_models(module=tv.segmentation):
        extra = {"weights_backbone": None}
    elif name == "inception_v3":
        extra, size = {"init_weights": False, "aux_logits": True}, 299
    elif name == "googlenet":
        extra = {"init_weights": False}
    net = tv.get_model(name, weights=None, **extra).eval()
    # Fresh networks have zeros and ones in their biases, scales and statistics: give every channel its own.
    with torch.no_grad():
        for p in net.parameters():
            if p.numel() == max(p.shape, default=0):
                p += 0.1 * torch.randn_like(p)
            elif not p.any():
                p.normal_(0, 0.02)
        for key, b in net.named_buffers():
            if key.endswith("running_mean"):
                b.normal_(0, 0.1)
            elif key.endswith("running_var"):
                b.uniform_(0.5, 1.5)
    if name.startswith("raft"):
        return net, (torch.randn(1, 3, 128, 128), torch.randn(1, 3, 128, 128))
    if extra.get("min_size") or name.startswith("ssd"):
        return net, ([torch.rand(3, size, size)],)
    return net, (torch.randn(1, 3, size, size),)


def export(name, exporter, path):
    import torch

    net, x = build(name)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # Its fused attention is an operator of its own, which TorchScript cannot export.
        torch.backends.mha.set_fastpath_enabled(False)
        if exporter == "dynamo":
            torch.onnx.export(net, x, path, dynamo=True, verbose=False)
        else:
            torch.onnx.export(net, x, path, dynamo=False, opset_version=17)


def one(name, exporter, a):
    """One network, in this process."""
    import torch

    torch.set_num_threads(a.threads)
    start = time.time()
    with tempfile.TemporaryDirectory(dir=a.temp) as folder:
        path = Path(folder) / "model.onnx"
        try:
            export(name, exporter, str(path))
        except Exception as e:
            row = check.Row(name, "not exported", str(e)[-300:])
        else:
            exported = time.time() - start
            row = check.check(path, folder, a.binary, name=name, threads=a.threads, samples=1)
            print(f"exported in {exported:.0f} s, done in {time.time() - start:.0f} s", file=sys.stderr)
    found = json.loads(row.json())
    found["exporter"] = exporter
    print("ROW " + json.dumps(found), flush=True)


def apart(job):
    """One network in a process of its own: nothing it does can stop the others."""
    name, exporter, a = job
    words = [sys.executable, __file__, "--one", name, exporter, "--binary", a.binary, "--threads", str(a.threads)]
    words += ["--temp", a.temp] if a.temp else []
    env = os.environ | {"OMP_NUM_THREADS": str(a.threads)}
    pipe = subprocess.PIPE
    child = subprocess.Popen([str(w) for w in words], stdout=pipe, stderr=pipe, text=True, env=env, start_new_session=True)
    try:
        told, says = child.communicate(timeout=a.limit)
        line = [w for w in told.splitlines() if w.startswith("ROW ")]
        row = json.loads(line[0][4:]) if line else None
        says = says[-500:]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        row, says = None, f"took more than {a.limit} s"
    if row is None:
        row = json.loads(check.Row(name, "no result", says).json()) | {"exporter": exporter}
    if a.out:
        with a.out.open("a") as f:
            f.write(json.dumps(row) + "\n")
    print(f"{name} ({exporter}): {row['status']} {row['why'][:300]}", file=sys.stderr, flush=True)
    return row


def table(rows):
    """One line a network, both exporters beside each other."""
    by = {}
    for r in rows:
        by.setdefault(r["name"], {})[r["exporter"]] = r

    def cell(r):
        if r is None:
            return "–"
        if r["status"] != "pruned":
            return r["status"]
        worst = max(v for v in (r["executor"], r["tract"], r["onnxruntime"], 0.0) if v is not None)
        share = 1 - r["smallest"] / r["macs"]
        return f"{share:.1%}, {check.number(worst)}{'' if r['tract'] is not None else ' *'}"

    lines = ["| network | MACs | " + " | ".join(EXPORTERS) + " |", "|---|---:|" + "---:|" * len(EXPORTERS)]
    for name, found in by.items():
        macs = max(r["macs"] for r in found.values()) / 1e6
        lines.append(f"| {name} | {macs:.0f} M | " + " | ".join(cell(found.get(e)) for e in EXPORTERS) + " |")
    for e in EXPORTERS:
        mine = [f[e] for f in by.values() if e in f]
        ok = sum(r["status"] == "pruned" for r in mine)
        exported = sum(r["status"] != "not exported" for r in mine)
        lines.append(f"\n{e}: {ok} of {len(mine)} pruned and proved; {exported} could be exported.")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="*", default=[], help="networks whose names contain one of these")
    p.add_argument("--exporter", nargs="*", default=list(EXPORTERS), choices=EXPORTERS)
    p.add_argument("--jobs", type=int, default=1, help="networks at a time")
    p.add_argument("--threads", type=int, default=2, help="threads of each")
    p.add_argument("--limit", type=float, default=1800, help="seconds for one network")
    p.add_argument("--out", type=Path, help="write one JSON line per network and exporter; those it has are left out")
    p.add_argument("--table", type=Path, nargs="*", help="print the table of such files and stop")
    p.add_argument("--binary", type=Path, default=check.BINARY)
    p.add_argument("--temp", help="folder for temporary files")
    p.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.one:
        return one(*a.one, a)
    if a.table:
        return print(table([json.loads(w) for f in a.table for w in f.read_text().splitlines()]))
    have = set()
    if a.out and a.out.exists():
        have = {(r["name"], r["exporter"]) for r in map(json.loads, a.out.read_text().splitlines())}
    jobs = [(n, e, a) for n in names() for e in a.exporter]
    jobs = [j for j in jobs if j[:2] not in have and (not a.only or any(o in j[0] for o in a.only))]
    with ThreadPoolExecutor(a.jobs) as pool:
        rows = list(pool.map(apart, jobs))
    print(table(rows))


if __name__ == "__main__":
    main()

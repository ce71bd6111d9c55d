#!/usr/bin/env python3
"""Top-1 accuracy of other tools' pruning at a given number of multiply-accumulates, nothing retrained but what the tool itself does.

  python tests/sweep/accuracy.py NET.onnx MACS --images train.npy --test test.npy labels.npy --mean … --std … [--folder OUT]

MACS is a number such as 55.8M, or a share such as 50%. Images are uint8 [n, height, width, channels]. Prints a row per tool:

- Torch-Pruning, group-L1: whole dependency groups by their mean L1 norm, layer by layer in equal shares ("local") or ranked over
  the network ("global");
- onnxsim: its structured pruning by weights (L2) and by weights times activations, global or not, and then its own
  recovery on the images.

The share of channels to cut is found by bisection. Accuracy is onnxruntime's on the file that the tool leaves.
Needs: torch, torch-pruning, onnx2torch, onnxsim, numpy, onnx, onnxruntime, and `cargo build --release`.
"""

import argparse
import json
import tempfile
from pathlib import Path

import check
import numpy as np
import onnx
import onnxruntime
import onnxsim
import torch
import torch_pruning
from onnx2torch import convert

CALIBRATION = 512


def macs(path, binary):
    """Multiply-accumulates, as the program counts them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "r.json"
        code, text, _, _ = check.run(binary, "inspect", path, "--json", report)
        if code:
            raise SystemExit(text)
        return json.loads(report.read_text())["model"]["macs"]


def accuracy(path, images, labels):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options)
    name, hits = session.get_inputs()[0].name, 0
    size = session.get_inputs()[0].shape[0]
    step = size if isinstance(size, int) else 100
    for k in range(0, len(images), step):
        scores = session.run(None, {name: images[k : k + step]})[0].reshape(len(images[k : k + step]), -1)
        hits += (scores.argmax(1) == labels[k : k + step]).sum()
    return 100 * hits / len(images)


def bisect(make, target, path, binary):
    """The least share at which `make(share, path)` leaves at most `target`."""
    low, high, best = 0.0, 1.0, None
    for _ in range(10):
        share = (low + high) / 2
        try:
            make(share, path)
            found = macs(path, binary)
        except Exception as error:  # too much was cut for the tool
            print(f"  share {share:.3f}: {type(error).__name__}", flush=True)
            high = share
            continue
        if found <= target:
            high, best = share, share
        else:
            low = share
    if best is None:
        return None
    make(best, path)
    return macs(path, binary)


def torch_pruned(net, shape, everywhere):
    def make(share, path):
        model = convert(onnx.load(net)).eval()
        for p in model.parameters():
            p.requires_grad_(True)
        heads = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1:]
        pruner = torch_pruning.pruner.MetaPruner(
            model,
            torch.zeros(shape),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=1),
            pruning_ratio=share,
            global_pruning=everywhere,
            ignored_layers=heads,
        )
        pruner.step()
        torch.onnx.export(model, (torch.zeros(shape),), str(path), dynamo=False, opset_version=13)

    return make


def onnxsim_pruned(net, calibration, everywhere):
    def make(share, path):
        if calibration is None:
            small = onnxsim.apply_structured_pruning(net, sparsity=share, global_sparsity=everywhere)
        else:
            small = onnxsim.apply_structured_wanda_pruning(
                net, calibration, sparsity=share, global_sparsity=everywhere
            )
        onnx.save(small, str(path))

    return make


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("macs")
    parser.add_argument("--images", required=True)
    parser.add_argument("--test", required=True, nargs=2)
    parser.add_argument("--mean", required=True)
    parser.add_argument("--std", required=True)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--binary", default="target/release/autobot-onnx")
    args = parser.parse_args()
    mean, std = ([float(v) for v in s.split(",")] for s in (args.mean, args.std))

    def tensor(file, count=None):
        x = (np.load(file)[:count].astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2).astype(np.float32))

    test, labels = tensor(args.test[0]), np.load(args.test[1])
    few = tensor(args.images, CALIBRATION)
    whole = macs(args.net, args.binary)
    target = whole * float(args.macs[:-1]) / 100 if args.macs.endswith("%") else float(args.macs[:-1]) * 1e6
    inputs = onnxruntime.InferenceSession(args.net).get_inputs()[0]
    batch = inputs.shape[0] if isinstance(inputs.shape[0], int) else 64
    calibration = [{inputs.name: few[k : k + batch]} for k in range(0, CALIBRATION, batch)]
    print(f"{Path(args.net).stem}: {accuracy(args.net, test, labels):.2f} at {whole / 1e6:.1f} M", flush=True)
    tools = {
        "torch-pruning local": torch_pruned(args.net, (1, *few.shape[1:]), False),
        "torch-pruning global": torch_pruned(args.net, (1, *few.shape[1:]), True),
        "onnxsim l2 local": onnxsim_pruned(args.net, None, False),
        "onnxsim l2 global": onnxsim_pruned(args.net, None, True),
        "onnxsim calibrated local": onnxsim_pruned(args.net, calibration[:4], False),
        "onnxsim calibrated global": onnxsim_pruned(args.net, calibration[:4], True),
    }
    for name, make in tools.items():
        path = Path(args.folder) / f"{Path(args.net).stem} {name}.onnx".replace(" ", "_")
        found = bisect(make, target, path, args.binary)
        if found is None:
            print(f"  {name}: cannot reach {target / 1e6:.1f} M", flush=True)
            continue
        print(f"  {name}: {accuracy(path, test, labels):.2f} at {found / 1e6:.2f} M", flush=True)
        if name.startswith("onnxsim"):
            mended = onnxsim.apply_pruning_finetune(args.net, str(path), calibration)
            onnx.save(mended, str(path))
            print(f"  {name}, recovered: {accuracy(path, test, labels):.2f}", flush=True)


if __name__ == "__main__":
    main()

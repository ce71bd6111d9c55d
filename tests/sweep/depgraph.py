#!/usr/bin/env python3
"""What Torch-Pruning's dependency graph can prune and what is free here, layer by layer, on torchvision's networks.

  python tests/sweep/depgraph.py

Prints a Markdown table: output channels of convolutions and linear layers, the last layer's aside. "beyond" counts those free here
that the dependency graph leaves out, "missed" the other way round.

Needs: torch, torchvision, torch-pruning, numpy, onnx, onnxruntime, and `cargo build --release`.
"""

import argparse
import json
import tempfile
from pathlib import Path

import check
import torch
import torch_pruning
import vision

NETWORKS = (
    "resnet50", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x1_0", "densenet121", "googlenet", "vgg16_bn",
)  # fmt: skip


def peer(name):
    """Output channels that the dependency graph can prune, by module."""
    net, x = vision.build(name)
    for p in net.parameters():
        p.requires_grad_(True)
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    # Heads that only help training are not exported.
    layers = {m: n for n, m in net.named_modules() if isinstance(m, kinds) and not n.startswith("aux")}
    last = list(layers)[-1]
    found = {n: set() for n in layers.values()}
    graph = torch_pruning.DependencyGraph().build_dependency(net, example_inputs=x)
    for group in graph.get_all_groups(ignored_layers=[last], root_module_types=[torch.nn.Conv2d, torch.nn.Linear]):
        for dep, idxs in group:
            if dep.target.module in layers and graph.is_out_channel_pruning_fn(dep.handler):
                found[layers[dep.target.module]] |= set(idxs)
    return {n: len(c) for n, c in found.items() if n != layers[last]}


def ours(name, binary):
    """Output channels that are free here, by module."""
    with tempfile.TemporaryDirectory() as folder:
        path, report = Path(folder) / "m.onnx", Path(folder) / "r.json"
        vision.export(name, "torchscript", str(path))
        code, text, _, _ = check.run(binary, "inspect", path, "--json", report)
        if code:
            raise SystemExit(text)
        seen = json.loads(report.read_text())
    channels = {layer["name"]: layer["channels_before"] for layer in seen["layers"]}
    for frozen in seen["channels"]["frozen"]:
        channels[frozen["layer"]] -= frozen["channels"]
    # "/layer1/layer1.0/conv1/Conv" is the module layer1.0.conv1; repeated parts of a path name a level once.
    out = {}
    for node, free in channels.items():
        names = []
        for part in node.strip("/").split("/")[:-1]:
            if names and part.startswith(names[-1] + "."):
                names.pop()
            names.append(part)
        out[".".join(names)] = free
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("networks", nargs="*", default=NETWORKS)
    p.add_argument("--binary", type=Path, default=check.BINARY)
    a = p.parse_args()
    print("| network | Torch-Pruning | free here | beyond | missed |\n|---|---:|---:|---:|---:|")
    for name in a.networks:
        mine = ours(name, a.binary)
        try:
            theirs = peer(name)
        except Exception as e:
            print(f"| {name} | fails: {str(e)[:60]} | {sum(mine.values())} | | |")
            continue
        unknown = set(theirs) - set(mine)
        if unknown:
            raise SystemExit(f"{name}: not found among our layers: {sorted(unknown)[:5]} of {sorted(mine)[:5]}")
        beyond = sum(max(0, mine[n] - t) for n, t in theirs.items())
        missed = {n: t - mine[n] for n, t in theirs.items() if t > mine[n]}
        print(f"| {name} | {sum(theirs.values())} | {sum(mine[n] for n in theirs)} | {beyond} | {sum(missed.values())} |")
        for n, c in missed.items():
            print(f"  missed: {n} {c}")


if __name__ == "__main__":
    main()

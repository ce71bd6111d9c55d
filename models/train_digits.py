#!/usr/bin/env python3
"""Train the four demo networks on the UCI handwritten digits and export them to ONNX.

The images are the 1797 8x8 digits that scikit-learn ships (`load_digits`, pixel
values 0..16). They are rescaled to uint8 0..255, split once into 1000 training
images (which also serve as the calibration set) and 797 test images, and four
small classifiers are trained on the first part:

  digits_chain      VGG-like chain; BatchNormalization kept as nodes
  digits_residual   ResNet with identity and 1x1-projection shortcuts
  digits_concat     inception module and dense block, joined with Concat
  digits_depthwise  MobileNetV2-style blocks, ReLU6, one squeeze-and-excite

Every network reads "image" [N,1,8,8] = (pixel / 255 - 0.5) / 0.5 and writes
"logits" [N,10]. The weights after the last epoch are the ones exported; the test
images take no part in training or in choosing anything.

Needs: torch, onnx, onnxruntime, scikit-learn, numpy, pillow.

  python models/train_digits.py                      # everything, next to this file
  python models/train_digits.py --only chain --out /some/folder
"""

import argparse
import hashlib
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

MEAN, STD = 0.5, 0.5
OPSET = 13
CLASSES = 10
TRAIN_IMAGES = 1000
PNG_PER_CLASS = 3
DATASET = (
    "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, "
    "UCI Machine Learning Repository (CC BY 4.0), via scikit-learn load_digits"
)
LICENSE = "MIT OR Apache-2.0"


# ----------------------------------------------------------------------------- networks


def conv_bn(cin, cout, kernel, stride=1, groups=1, act=nn.ReLU):
    """Convolution, batch normalisation and (unless act is None) an activation."""
    layers = [
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Chain(nn.Module):
    """Four 3x3 convolutions in a row, one max pool, two fully connected layers."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(1, 16, 3),
            conv_bn(16, 16, 3),
            nn.MaxPool2d(2),
            conv_bn(16, 32, 3),
            conv_bn(32, 32, 3),
        )
        self.hidden = nn.Linear(32 * 4 * 4, 32)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        x = torch.flatten(self.features(x), 1)
        return self.head(F.relu(self.hidden(x)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions plus a shortcut: identity, or 1x1 where the shape changes."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = conv_bn(cin, cout, 3, stride)
        self.conv2 = conv_bn(cout, cout, 3, act=None)
        same = cin == cout and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(cin, cout, 1, stride, act=None)

    def forward(self, x):
        return F.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class Residual(nn.Module):
    """Small ResNet: three blocks, the second halves the size with a projection."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(1, 16, 3),
            ResidualBlock(16, 16, 1),
            ResidualBlock(16, 28, 2),
            ResidualBlock(28, 28, 1),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(28, CLASSES)

    def forward(self, x):
        return self.head(torch.flatten(self.body(x), 1))


class Inception(nn.Module):
    """1x1, 3x3, double 3x3 and pooled branches side by side, concatenated."""

    def __init__(self, cin):
        super().__init__()
        self.b1 = conv_bn(cin, 8, 1)
        self.b3 = nn.Sequential(conv_bn(cin, 8, 1), conv_bn(8, 16, 3))
        self.b5 = nn.Sequential(conv_bn(cin, 8, 1), conv_bn(8, 12, 3), conv_bn(12, 12, 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(cin, 8, 1))
        self.out = 8 + 16 + 12 + 8

    def forward(self, x):
        return torch.cat([self.b1(x), self.b3(x), self.b5(x), self.pool(x)], 1)


class DenseBlock(nn.Module):
    """Each 3x3 layer reads everything before it and appends `growth` channels."""

    def __init__(self, cin, growth, layers):
        super().__init__()
        self.layers = nn.ModuleList(conv_bn(cin + i * growth, growth, 3) for i in range(layers))
        self.out = cin + layers * growth

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Concat(nn.Module):
    """An inception module at 8x8, a 1x1 transition, a dense block at 4x4."""

    def __init__(self):
        super().__init__()
        inception = Inception(16)
        transition = conv_bn(inception.out, 24, 1)
        dense = DenseBlock(24, 16, 3)
        self.body = nn.Sequential(
            conv_bn(1, 16, 3),
            inception,
            transition,
            nn.MaxPool2d(2),
            dense,
            conv_bn(dense.out, 32, 1),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(torch.flatten(self.body(x), 1))


class SqueezeExcite(nn.Module):
    """Scales each channel by a sigmoid computed from all channel means."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(self.pool(x)))))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, optional squeeze-and-excite, linear 1x1 projection."""

    def __init__(self, cin, cout, expand, stride, squeezed=0):
        super().__init__()
        mid = cin * expand
        self.block = nn.Sequential(
            conv_bn(cin, mid, 1, act=nn.ReLU6),
            conv_bn(mid, mid, 3, stride, groups=mid, act=nn.ReLU6),
            *([SqueezeExcite(mid, squeezed)] if squeezed else []),
            conv_bn(mid, cout, 1, act=None),
        )
        self.shortcut = cin == cout and stride == 1

    def forward(self, x):
        return x + self.block(x) if self.shortcut else self.block(x)


class Depthwise(nn.Module):
    """MobileNetV2 in miniature: four inverted residual blocks, two with a shortcut."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(1, 16, 3, act=nn.ReLU6),
            InvertedResidual(16, 16, 4, 1),
            InvertedResidual(16, 24, 4, 2, squeezed=16),
            InvertedResidual(24, 24, 4, 1),
            InvertedResidual(24, 32, 4, 1),
            conv_bn(32, 96, 1, act=nn.ReLU6),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(96, CLASSES)

    def forward(self, x):
        return self.head(torch.flatten(self.body(x), 1))


# name: (class, keep BatchNormalization as nodes, one line on the shape)
NETWORKS = {
    "chain": (Chain, True, "VGG-like chain, BatchNormalization kept, MaxPool, Flatten, 2 Gemm"),
    "residual": (Residual, False, "ResNet, identity and 1x1-projection shortcuts"),
    "concat": (Concat, False, "inception module and dense block, Concat"),
    "depthwise": (Depthwise, False, "MobileNetV2-style, depthwise, ReLU6, squeeze-and-excite"),
}


# --------------------------------------------------------------------------------- data


def load_split(seed):
    """Images as uint8 [n,8,8,1], labels as uint8: a stratified train part and the rest."""
    digits = load_digits()
    images = np.rint(digits.images * 255.0 / 16.0).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.uint8)
    train, test = train_test_split(
        np.arange(len(labels)), train_size=TRAIN_IMAGES, stratify=labels, random_state=seed
    )
    return images[train], labels[train], images[test], labels[test]


def normalise(images):
    """uint8 [n,8,8,1] to the float32 [n,1,8,8] the networks read."""
    x = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray((x - np.float32(MEAN)) / np.float32(STD))


def write_images(out, train_x, train_y, test_x, test_y):
    np.save(out / "digits_calib_images.npy", train_x)
    np.save(out / "digits_calib_labels.npy", train_y)
    np.save(out / "digits_test_images.npy", test_x)
    np.save(out / "digits_test_labels.npy", test_y)
    for digit in range(CLASSES):
        folder = out / "digits_png" / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        for k, i in enumerate(np.flatnonzero(test_y == digit)[:PNG_PER_CLASS]):
            Image.fromarray(test_x[i, :, :, 0]).save(folder / f"{k}.png")


# ----------------------------------------------------------------------------- training


def shifted(x, rng):
    """Every image moved by -1, 0 or 1 pixel each way; the border is background (-1)."""
    n, _, height, width = x.shape
    padded = F.pad(x, (1, 1, 1, 1), value=(0.0 - MEAN) / STD)
    dy = torch.randint(0, 3, (n, 1, 1), generator=rng)
    dx = torch.randint(0, 3, (n, 1, 1), generator=rng)
    rows = torch.arange(height).view(1, -1, 1) + dy
    cols = torch.arange(width).view(1, 1, -1) + dx
    return padded[torch.arange(n).view(-1, 1, 1), 0, rows, cols].unsqueeze(1)


def train(net, images, labels, epochs, batch, rate, seed):
    x = torch.from_numpy(normalise(images))
    y = torch.from_numpy(labels.astype(np.int64))
    rng = torch.Generator().manual_seed(seed)
    opt = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    steps = epochs * (len(x) // batch)
    warm = max(1, steps // 20)
    plan = torch.optim.lr_scheduler.LambdaLR(
        opt,
        lambda s: min((s + 1) / warm, 0.5 * (1 + math.cos(math.pi * s / steps))),
    )
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=rng)
        total = 0.0
        for start in range(0, len(x) - batch + 1, batch):
            pick = order[start : start + batch]
            loss = F.cross_entropy(net(shifted(x[pick], rng)), y[pick])
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        if epoch == 0 or (epoch + 1) % 10 == 0:
            print(f"  epoch {epoch + 1:3d}/{epochs}  loss {total / (len(x) // batch):.4f}", flush=True)
    net.eval()


# ---------------------------------------------------------------------- export, measure


def export(net, path, keep_bn):
    mode = torch.onnx.TrainingMode.PRESERVE if keep_bn else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings():
        # The TorchScript exporter is meant here: it is deprecated, and it warns of
        # constant folding together with PRESERVE (the outputs are compared below).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(2, 1, 8, 8),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
            opset_version=OPSET,
            do_constant_folding=True,
            training=mode,
            dynamo=False,
        )


def run_onnx(path, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": x})[0]


def count_params(model):
    """Elements of all initializers (weights, biases, BatchNormalization vectors)."""
    return sum(math.prod(t.dims) for t in model.graph.initializer)


def count_macs(model):
    """Multiply-accumulates of Conv and Gemm for one image, biases not counted."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shape = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.value_info, *graph.output)
    }
    shape.update({t.name: list(t.dims) for t in graph.initializer})
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            # the weight is [out, in / group, kh, kw]
            total += math.prod(shape[node.output[0]]) * math.prod(shape[node.input[1]][1:])
        elif node.op_type == "Gemm":
            # one image: every weight is used once
            total += math.prod(shape[node.input[1]])
    return total


def finish(net, path, description, test_x, test_y):
    """Check the exported file, write its metadata, and return its models.json entry."""
    x = normalise(test_x)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    worst = float(np.abs(run_onnx(path, x) - expected).max())
    if worst > 1e-3:
        raise SystemExit(f"{path.name}: ONNX and PyTorch logits differ by {worst}")

    logits = run_onnx(path, x)
    correct = int((logits.argmax(1) == test_y).sum())
    accuracy = round(correct / len(test_y), 4)

    model = onnx.load(path)
    model.producer_name, model.producer_version = "pytorch", torch.__version__.split("+")[0]
    onnx.helper.set_model_props(
        model,
        {
            "mean": str(MEAN),
            "std": str(STD),
            "accuracy": f"{accuracy:.4f}",
            "dataset": DATASET,
            "license": LICENSE,
        },
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    if not np.array_equal(run_onnx(path, x), logits):
        raise SystemExit(f"{path.name}: the saved file does not reproduce its logits")
    one = run_onnx(path, x[:1])
    if one.shape != (1, CLASSES):
        raise SystemExit(f"{path.name}: batch 1 gives {one.shape}")

    data = path.read_bytes()
    return {
        "file": path.name,
        "description": description,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "opset": next(o.version for o in model.opset_import if o.domain == ""),
        "params": count_params(model),
        "macs": count_macs(model),
        "test_correct": correct,
        "test_images": len(test_y),
        "test_accuracy": accuracy,
        "mean": MEAN,
        "std": STD,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parent
    parser.add_argument("--out", type=Path, default=here, help="folder to write (default: here)")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, help="train only these networks")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    args.out.mkdir(parents=True, exist_ok=True)
    train_x, train_y, test_x, test_y = load_split(args.seed)
    write_images(args.out, train_x, train_y, test_x, test_y)
    print(f"{len(train_y)} training and calibration images, {len(test_y)} test images")

    index = args.out / "models.json"
    entries = {}
    if index.exists():
        entries = {e["file"]: e for e in json.loads(index.read_text())["models"]}
    for name in args.only or NETWORKS:
        kind, keep_bn, description = NETWORKS[name]
        path = args.out / f"digits_{name}.onnx"
        print(path.name, flush=True)
        start = time.monotonic()
        torch.manual_seed(args.seed)
        net = kind()
        train(net, train_x, train_y, args.epochs, args.batch, args.rate, args.seed)
        export(net, path, keep_bn)
        entry = finish(net, path, description, test_x, test_y)
        entries[entry["file"]] = entry
        print(
            f"  {entry['params']} params, {entry['macs']} MACs, {entry['bytes']} bytes, "
            f"test accuracy {entry['test_accuracy']:.4f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )

    order = [f"digits_{name}.onnx" for name in NETWORKS]
    summary = {
        "dataset": DATASET,
        "license": LICENSE,
        "input": {"name": "image", "shape": ["N", 1, 8, 8], "mean": MEAN, "std": STD},
        "output": {"name": "logits", "shape": ["N", CLASSES]},
        "models": [entries[f] for f in order if f in entries],
    }
    index.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()

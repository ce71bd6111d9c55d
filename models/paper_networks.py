#!/usr/bin/env python3
"""Define the six networks of the AutoBot paper (arXiv 2111.09635), train them if asked, and export them to ONNX.

  vgg16         VGG-16 with BatchNormalization, CIFAR-10      313.5 M MACs
  resnet56      ResNet-56, CIFAR-10                           125.5 M
  resnet110     ResNet-110, CIFAR-10                          252.9 M
  googlenet     GoogLeNet in its CIFAR form                  1521.8 M
  densenet40    DenseNet-40, growth rate 12, CIFAR-10         282.9 M
  resnet50      ResNet-50 from torchvision, ImageNet         4089.2 M

Networks are exported with their BatchNormalization as nodes, as the paper counts it (`--flops-convention paper`); --fold merges
it into the convolutions, which is what one deploys. Without --train the weights are random, with statistics of their own for every
channel.

  python models/paper_networks.py --out /some/folder
  python models/paper_networks.py --out /some/folder --only resnet56 --train /folder/of/cifar-10-batches-py

Training is for CIFAR-10 and wants a GPU: 200 epochs of SGD (momentum 0.9, weight decay 5e-4, batches of 128), rate 0.1 with
five epochs of warm-up and a cosine to zero, crops with 4 pixels of padding and flips. ResNet-50 is not trained here:
--weights takes a state dict, torchvision's for example.

Needs: torch, torchvision, numpy, onnx.
"""

import argparse
import math
import pickle
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

OPSET = 17
CLASSES = 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def conv_bn_relu(cin, cout, kernel, bias=True):
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=bias), nn.BatchNorm2d(cout), nn.ReLU())


# ----------------------------------------------------------------------------- networks


def vgg16():
    """Thirteen convolutions in five stages, then two linear layers."""
    layers, cin = [], 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers.append(conv_bn_relu(cin, width, 3, bias=False))
            cin = width
        layers.append(nn.MaxPool2d(2))
    # The last stage's pool leaves one pixel.
    head = [nn.Flatten(), nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, CLASSES)]
    return nn.Sequential(*layers, *head)


class BasicBlock(nn.Module):
    """Two convolutions; a shortcut without weights takes every second pixel and pads with zero channels."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.stride, self.pad = stride, (cout - cin) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    def __init__(self, depth):
        super().__init__()
        blocks = (depth - 2) // 6
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        stages, cin = [], 16
        for k, width in enumerate((16, 32, 64)):
            for b in range(blocks):
                stages.append(BasicBlock(cin, width, 2 if k and not b else 1))
                cin = width
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AvgPool2d(8)
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        return self.fc(self.pool(self.blocks(F.relu(self.bn(self.stem(x))))).flatten(1))


class Inception(nn.Module):
    """Four branches; the 5x5 one is two convolutions of 3x3."""

    def __init__(self, cin, one, three_in, three, five_in, five, pool):
        super().__init__()
        self.one = conv_bn_relu(cin, one, 1)
        self.three = nn.Sequential(conv_bn_relu(cin, three_in, 1), conv_bn_relu(three_in, three, 3))
        self.five = nn.Sequential(
            conv_bn_relu(cin, five_in, 1), conv_bn_relu(five_in, five, 3), conv_bn_relu(five, five, 3)
        )
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn_relu(cin, pool, 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def googlenet():
    return nn.Sequential(
        conv_bn_relu(3, 192, 3),
        Inception(192, 64, 96, 128, 16, 32, 32),
        Inception(256, 128, 128, 192, 32, 96, 64),
        nn.MaxPool2d(3, 2, 1),
        Inception(480, 192, 96, 208, 16, 48, 64),
        Inception(512, 160, 112, 224, 24, 64, 64),
        Inception(512, 128, 128, 256, 24, 64, 64),
        Inception(512, 112, 144, 288, 32, 64, 64),
        Inception(528, 256, 160, 320, 32, 128, 128),
        nn.MaxPool2d(3, 2, 1),
        Inception(832, 256, 160, 320, 32, 128, 128),
        Inception(832, 384, 192, 384, 48, 128, 128),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(1024, CLASSES),
    )


class DenseLayer(nn.Module):
    def __init__(self, cin, growth):
        super().__init__()
        self.bn = nn.BatchNorm2d(cin)
        self.conv = nn.Conv2d(cin, growth, 3, 1, 1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], 1)


def densenet40(growth=12, width=24):
    """Three dense blocks of twelve layers, without bottlenecks or compression."""
    layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False)]
    for block in range(3):
        for _ in range(12):
            layers.append(DenseLayer(width, growth))
            width += growth
        if block < 2:
            transition = [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1, bias=False), nn.AvgPool2d(2)]
            layers += transition
    return nn.Sequential(
        *layers, nn.BatchNorm2d(width), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(width, CLASSES)
    )


def resnet50():
    from torchvision.models import resnet50

    return resnet50(weights=None)


# Network, input pixels, MACs.
NETWORKS = {
    "vgg16": (vgg16, 32, 313_463_808),
    "resnet56": (lambda: CifarResNet(56), 32, 125_485_696),
    "resnet110": (lambda: CifarResNet(110), 32, 252_887_680),
    "googlenet": (googlenet, 32, 1_521_756_160),
    "densenet40": (densenet40, 32, 282_917_328),
    "resnet50": (resnet50, 224, 4_089_184_256),
}


def macs(net, pixels):
    """Multiply-accumulates of the convolutions and linear layers."""
    total = 0

    def count(layer, _, y):
        nonlocal total
        weights = layer.weight[0].numel()
        total += weights * y.numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, pixels, pixels))
    for h in hooks:
        h.remove()
    return total


# ----------------------------------------------------------------------------- weights


def vary(net):
    """Gives every channel of a fresh network statistics, a scale and a bias of its own."""
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
                m.weight.uniform_(0.5, 1.5)
                m.bias.normal_(0, 0.1)


def cifar(folder):
    """Images [n, 3, 32, 32] in 0..1 and labels, of the training and the test batches."""

    def batches(names):
        found = [pickle.loads((Path(folder) / n).read_bytes(), encoding="bytes") for n in names]
        x = np.concatenate([b[b"data"] for b in found]).reshape(-1, 3, 32, 32)
        y = np.concatenate([b[b"labels"] for b in found])
        return torch.from_numpy(x).float() / 255, torch.from_numpy(y).long()

    return batches([f"data_batch_{k}" for k in range(1, 6)]), batches(["test_batch"])


def augment(x):
    """Crops with 4 pixels of padding, and flips, image by image."""
    n = len(x)
    x = F.pad(x, (4, 4, 4, 4))
    at = torch.randint(0, 9, (2, n, 1), device=x.device)
    rows = at[0] + torch.arange(32, device=x.device)
    columns = at[1] + torch.arange(32, device=x.device)
    x = x[torch.arange(n, device=x.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    x = x.permute(0, 3, 1, 2)
    flip = torch.rand(n, device=x.device) < 0.5
    return torch.where(flip[:, None, None, None], x.flip(3), x).contiguous()


def train(net, folder, epochs, device, rate=0.1, batch=128):
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    (x, y), (tx, ty) = cifar(folder)
    x, tx = ((v.to(device) - mean) / std for v in (x, tx))
    y, ty = y.to(device), ty.to(device)
    net.to(device)
    optimiser = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(x) // batch)
    warm = 5 * (len(x) // batch)
    curve = lambda s: min(1, (s + 1) / warm) * 0.5 * (1 + math.cos(math.pi * max(0, s - warm) / max(1, steps - warm)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, curve)
    for epoch in range(epochs):
        start = time.time()
        net.train()
        for at in torch.randperm(len(x), device=device).split(batch)[: len(x) // batch]:
            loss = F.cross_entropy(net(augment(x[at])), y[at])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            right = sum((net(a).argmax(1) == b).sum().item() for a, b in zip(tx.split(500), ty.split(500)))
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, test {right / len(ty):.2%}, {time.time() - start:.0f} s", flush=True)
    net.cpu()


def export(net, pixels, path, fold):
    net.eval()
    keep = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(
        net, torch.randn(1, 3, pixels, pixels), path, dynamo=False, opset_version=OPSET, training=keep,
        do_constant_folding=fold, input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
    )  # fmt: skip
    onnx.checker.check_model(str(path), full_check=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--only", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    p.add_argument("--fold", action="store_true", help="merge BatchNormalization into the convolutions")
    p.add_argument("--weights", type=Path, help="a state dict, for one network")
    p.add_argument("--train", metavar="FOLDER", help="CIFAR-10's Python batches")
    p.add_argument("--epochs", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    if a.weights and len(a.only) != 1:
        p.error("--weights are those of one network: name it with --only")
    if a.train and "resnet50" in a.only:
        p.error("--train is for CIFAR-10: leave resnet50 out with --only")
    a.out.mkdir(parents=True, exist_ok=True)
    for name in a.only:
        torch.manual_seed(a.seed)
        make, pixels, known = NETWORKS[name]
        net = make()
        found = macs(net, pixels)
        if found != known:
            raise SystemExit(f"{name} has {found} MACs where {known} are known")
        if a.weights:
            net.load_state_dict(torch.load(a.weights, weights_only=True))
        elif a.train and pixels == 32:
            train(net, a.train, a.epochs, "cuda" if torch.cuda.is_available() else "cpu")
        else:
            vary(net)
        path = a.out / f"{name}.onnx"
        export(net, pixels, path, a.fold)
        print(f"{path}: {found} MACs, {sum(q.numel() for q in net.parameters())} parameters")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Write a small network, images, and the losses of training it in PyTorch: three curves of 50 updates each.

  python tests/networks/curve/make.py

Needs: torch, onnx, numpy.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
STEPS, IMAGES = 50, 32


class Net(nn.Module):
    """One of everything that has parameters."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.prelu = nn.PReLU(8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.conv2 = nn.Conv2d(6, 12, 3, stride=2, padding=1)
        self.norm = nn.InstanceNorm2d(12, affine=True)
        self.token = nn.Linear(12, 12)
        self.layer_norm = nn.LayerNorm(12)
        self.linear = nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.bn(self.conv1(x)))
        x = self.prelu(self.depthwise(x))
        x = self.norm(self.conv2(F.relu(self.up(x))))
        x = x.flatten(2).transpose(1, 2)
        x = x + F.gelu(self.layer_norm(self.token(x)))
        return self.linear(x.mean(1))


def network(seed):
    torch.manual_seed(seed)
    net = Net().eval()
    with torch.no_grad():
        net.bn.running_mean.normal_(0, 0.1)
        net.bn.running_var.uniform_(0.5, 1.5)
        for p in net.parameters():
            if p.dim() == 1:
                p += 0.1 * torch.randn_like(p)
    return net


def export(net, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Training mode is what keeps the exporter from folding BatchNormalization into the convolution before it.
        torch.onnx.export(net, torch.randn(1, 3, 8, 8), path, dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
                          training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    model = onnx.load(path)
    stored = {t.name: t for t in model.graph.initializer}
    for node in list(model.graph.node):
        # What is left to be computed from one weight alone: a transposed or reshaped weight.
        if node.op_type in ("Transpose", "Unsqueeze") and node.input[0] in stored:
            old = stored[node.input[0]]
            array = numpy_helper.to_array(old)
            array = array.T if node.op_type == "Transpose" else array.reshape(-1, 1, 1)
            old.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), node.output[0]))
            model.graph.node.remove(node)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def rates(lr, warm_up=3):
    for s in range(STEPS):
        if s < warm_up:
            yield lr * (s + 1) / warm_up
        else:
            yield lr * 0.5 * (1 + math.cos(math.pi * (s - warm_up) / (STEPS - warm_up)))


def curve(x, labels, teacher, method, lr, decay, temperature):
    net = network(1).double()
    weights = [p for p in net.parameters() if p.dim() >= 2]
    others = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr, momentum=0.9) if method == "sgd" else torch.optim.AdamW(groups, lr)
    losses = []
    for rate in rates(lr):
        for g in optimizer.param_groups:
            g["lr"] = rate
        y = net(x)
        if temperature:
            p = F.log_softmax(teacher / temperature, 1)
            loss = F.kl_div(F.log_softmax(y / temperature, 1), p, log_target=True, reduction="batchmean")
            loss = loss * temperature**2
        else:
            loss = F.cross_entropy(y, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"method": method, "lr": lr, "weight_decay": decay, "temperature": temperature, "losses": losses}


def main():
    x, labels = torch.randn(IMAGES, 3, 8, 8), torch.randint(0, 5, (IMAGES,))
    student, teacher = network(1), network(2)
    with torch.no_grad():
        teacher.linear.weight *= 4
    export(student, HERE / "student.onnx")
    export(teacher, HERE / "teacher.onnx")
    np.save(HERE / "images.npy", x.numpy())
    np.save(HERE / "labels.npy", labels.numpy())
    x = x.double()
    with torch.no_grad():
        taught = teacher.double()(x)
    curves = [
        curve(x, labels, taught, "sgd", 0.05, 5e-4, None),
        curve(x, labels, taught, "adamw", 0.003, 0.01, None),
        curve(x, labels, taught, "sgd", 0.02, 5e-4, 4.0),
    ]
    (HERE / "losses.json").write_text(json.dumps(curves) + "\n")
    print([c["losses"][:: STEPS - 1] for c in curves])


if __name__ == "__main__":
    torch.manual_seed(0)
    main()

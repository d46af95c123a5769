#!/usr/bin/env python3
"""Training steps (AdamW) of the networks of bench/vision.js in plain PyTorch: a residual network for small images, ResNet-18,
a vision transformer, and a graph transformer on padded graphs with attention along edges.

Prints one line of JSON: {version, threads, stepMilliseconds: {name: [...]}}.

Run:  python3 bench/peers/pytorch-vision.py '<sizes as JSON>' --threads 2
"""

import argparse
import json
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        changes = stride != 1 or inputs != outputs
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)) if changes else None
        )

    def forward(self, x):
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(branch + (self.shortcut(x) if self.shortcut else x))


def resnet(size):
    stem = size["stem"]
    layers = [
        nn.Conv2d(3, stem["width"], stem["kernel"], stem["stride"], stem["kernel"] // 2, bias=False),
        nn.BatchNorm2d(stem["width"]),
        nn.ReLU(),
    ]
    if stem["pool"]:
        layers.append(nn.MaxPool2d(3, 2, 1))
    width = stem["width"]
    for stage in size["stages"]:
        for i in range(stage["blocks"]):
            layers.append(Residual(width, stage["planes"], stage["stride"] if i == 0 else 1))
            width = stage["planes"]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, size["classes"]))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, mask):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        if mask is not None:
            scores = scores + mask
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width))


class TokenBatchNorm(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x.reshape(-1, x.shape[-1])).view_as(x)


class Block(nn.Module):
    def __init__(self, width, heads, hidden, norm):
        super().__init__()
        self.norm1, self.norm2 = norm(width), norm(width)
        self.mix = Attention(width, heads)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x, mask=None):
        y = x + self.mix(self.norm1(x), mask)
        return y + self.down(F.gelu(self.up(self.norm2(y))))


class ViT(nn.Module):
    def __init__(self, size):
        super().__init__()
        width, tokens = size["width"], (size["size"] // size["patch"]) ** 2
        self.patches = nn.Conv2d(3, width, size["patch"], size["patch"])
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, tokens + 1, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, size["heads"], size["hidden"], nn.LayerNorm) for _ in range(size["layers"]))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, size["classes"])

    def forward(self, x):
        patches = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.places
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y)[:, 0])


class Graph(nn.Module):
    def __init__(self, size):
        super().__init__()
        width = size["width"]
        self.embed = nn.Linear(16, width)
        self.blocks = nn.ModuleList(Block(width, size["heads"], 2 * width, TokenBatchNorm) for _ in range(size["layers"]))
        self.head = nn.Linear(width, size["classes"])

    def forward(self, x, mask):
        y = self.embed(x)
        for block in self.blocks:
            y = block(y, mask)
        return self.head(y).flatten(0, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    makers = {"resnet20": resnet, "resnet18": resnet, "vit": ViT, "graph": Graph}
    results = {}
    for name, size in json.loads(options.sizes).items():
        model = makers[name](size)
        batch, classes = size["batch"], size["classes"]
        if name == "graph":
            inputs = [torch.randn(batch, size["nodes"], 16)]
            inputs.append((torch.rand(batch, 1, size["nodes"], size["nodes"]) < 0.7).float() * -1e9)
        else:
            inputs = [torch.randn(batch, 3, size["size"], size["size"])]
        count = batch * size.get("nodes", 1)
        labels = torch.arange(count) % classes
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        times = []
        for step in range(size["steps"] + 2):
            start = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(*inputs), labels).backward()
            optimizer.step()
            if step >= 2:
                times.append((time.perf_counter() - start) * 1000)
        results[name] = times
    print(json.dumps({"version": torch.__version__, "threads": options.threads, "stepMilliseconds": results}))


main()

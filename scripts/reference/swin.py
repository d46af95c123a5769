#!/usr/bin/env python3
"""Reference numbers for the Swin transformer and the norm-free residual block, written independently in PyTorch.

Writes test/golden/models/swin.safetensors: swin.p.<name> (the authors' names), swin.x, swin.y, swin.grad.<name> of sum(y * y);
nf.p.<name>, nf.x, nf.y, nf.grad.<name> for one block with a change of shape. Computed in float64, stored as float32.

Run:  python3 scripts/reference/swin.py
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from store import write_safetensors

torch.manual_seed(11)
torch.set_default_dtype(torch.float64)
SIZE, PATCH, WIDTH, WINDOW, DEPTHS, HEADS, CLASSES = 16, 2, 8, 2, [2, 2], [2, 4], 3


def draw(*shape, scale=0.3):
    return (torch.randn(shape) * scale).requires_grad_()


def parameters():
    p = {}

    def linear(name, i, o, bias=True):
        p[f"{name}.weight"] = draw(o, i)
        if bias:
            p[f"{name}.bias"] = draw(o)

    def norm(name, n):
        p[f"{name}.weight"] = (1 + 0.2 * torch.randn(n)).requires_grad_()
        p[f"{name}.bias"] = draw(n)

    p["patch_embed.proj.weight"], p["patch_embed.proj.bias"] = draw(WIDTH, 3, PATCH, PATCH), draw(WIDTH)
    norm("patch_embed.norm", WIDTH)
    for s, depth in enumerate(DEPTHS):
        w = WIDTH * 2**s
        for b in range(depth):
            at = f"layers.{s}.blocks.{b}"
            norm(f"{at}.norm1", w)
            linear(f"{at}.attn.qkv", w, 3 * w)
            linear(f"{at}.attn.proj", w, w)
            p[f"{at}.attn.relative_position_bias_table"] = draw((2 * WINDOW - 1) ** 2, HEADS[s])
            norm(f"{at}.norm2", w)
            linear(f"{at}.mlp.fc1", w, 4 * w)
            linear(f"{at}.mlp.fc2", 4 * w, w)
        if s < len(DEPTHS) - 1:
            norm(f"layers.{s}.downsample.norm", 4 * w)
            linear(f"layers.{s}.downsample.reduction", 4 * w, 2 * w, bias=False)
    norm("norm", WIDTH * 2 ** (len(DEPTHS) - 1))
    linear("head", WIDTH * 2 ** (len(DEPTHS) - 1), CLASSES)
    return p


def swin(p, x):
    def norm(name, h):
        return F.layer_norm(h, h.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"])

    def linear(name, h):
        return F.linear(h, p[f"{name}.weight"], p.get(f"{name}.bias"))

    def attention(at, h, heads, shift):
        """Every pixel's attention by looking up which pixels share its window and its part of the image."""
        B, H, W, C = h.shape
        q, k, v = linear(f"{at}.qkv", h).reshape(B, H * W, 3, heads, C // heads).permute(2, 0, 3, 1, 4)
        rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
        # Where a pixel stands once the image has been rolled by the shift.
        r, c = (rows - shift) % H, (columns - shift) % W
        window = (r // WINDOW * (W // WINDOW) + c // WINDOW).reshape(-1)
        wrapped = ((rows < shift).long() * 2 + (columns < shift).long()).reshape(-1)
        inner_r, inner_c = (r % WINDOW).reshape(-1), (c % WINDOW).reshape(-1)
        index = (inner_r[:, None] - inner_r[None] + WINDOW - 1) * (2 * WINDOW - 1) + inner_c[:, None] - inner_c[None] + WINDOW - 1
        same = window[:, None] == window[None]
        index = torch.where(same, index, torch.zeros_like(index))
        scores = q @ k.transpose(-1, -2) / math.sqrt(C // heads)
        scores = scores + p[f"{at}.relative_position_bias_table"][index].permute(2, 0, 1)
        if shift:
            scores = scores - 100.0 * (wrapped[:, None] != wrapped[None])
        scores = scores.masked_fill(~same, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, H, W, C)
        return linear(f"{at}.proj", mixed)

    h = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=PATCH).permute(0, 2, 3, 1)
    h = norm("patch_embed.norm", h)
    for s, depth in enumerate(DEPTHS):
        for b in range(depth):
            at = f"layers.{s}.blocks.{b}"
            shift = WINDOW // 2 if b % 2 == 1 and h.shape[1] > WINDOW else 0
            h = h + attention(f"{at}.attn", norm(f"{at}.norm1", h), HEADS[s], shift)
            h = h + linear(f"{at}.mlp.fc2", F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", h))))
        if s < len(DEPTHS) - 1:
            at = f"layers.{s}.downsample"
            h = torch.cat([h[:, 0::2, 0::2], h[:, 1::2, 0::2], h[:, 0::2, 1::2], h[:, 1::2, 1::2]], -1)
            h = linear(f"{at}.reduction", norm(f"{at}.norm", h))
    return linear("head", norm("norm", h).mean((1, 2)))


def standardized(p, name):
    w, gain = p[f"{name}.weight"], p[f"{name}.parametrizations.0.gain"]
    n = w[0].numel()
    flat = w.reshape(len(w), -1)
    centred = flat - flat.mean(1, keepdim=True)
    scale = torch.sqrt(torch.clamp(centred.pow(2).mean(1, keepdim=True) * n, min=1e-4))
    gamma = math.sqrt(2 / (1 - 1 / math.pi))
    return (centred / scale * gamma * gain[:, None]).reshape(w.shape)


def block(p, x, variance, alpha, stride):
    def conv(name, h, **options):
        return F.conv2d(h, standardized(p, name), p[f"{name}.bias"], **options)

    h = F.relu(x) / math.sqrt(variance)
    shortcut = conv("downsample", F.avg_pool2d(h, stride))
    y = conv("convolutions.0", h, stride=stride, padding=1)
    y = conv("convolutions.1", F.relu(y), padding=1)
    weights = torch.sigmoid(F.linear(F.relu(F.linear(y.mean((2, 3)), p["se.fc.0.weight"])), p["se.fc.2.weight"]))
    return shortcut + alpha * p["skip_gain"] * 2 * y * weights[:, :, None, None]


def block_parameters(inputs, outputs):
    p = {"skip_gain": draw()}
    for name, shape in {
        "convolutions.0": (outputs, inputs, 3, 3),
        "convolutions.1": (outputs, outputs, 3, 3),
        "downsample": (outputs, inputs, 1, 1),
    }.items():
        p[f"{name}.weight"], p[f"{name}.bias"] = draw(*shape), draw(outputs)
        p[f"{name}.parametrizations.0.gain"] = (1 + 0.2 * torch.randn(outputs)).requires_grad_()
    p["se.fc.0.weight"], p["se.fc.2.weight"] = draw(outputs // 2, outputs), draw(outputs, outputs // 2)
    return p


def record(tensors, prefix, p, x, y):
    (y * y).sum().backward()
    tensors[f"{prefix}.x"], tensors[f"{prefix}.y"] = x, y
    for name, value in p.items():
        tensors[f"{prefix}.p.{name}"] = value
        tensors[f"{prefix}.grad.{name}"] = value.grad


def main():
    tensors = {}
    p, x = parameters(), torch.randn(2, 3, SIZE, SIZE)
    record(tensors, "swin", p, x, swin(p, x))
    p, x = block_parameters(4, 6), torch.randn(2, 4, 6, 6)
    record(tensors, "nf", p, x, block(p, x, variance=1.3, alpha=0.2, stride=2))
    path = Path(__file__).resolve().parents[2] / "test/golden/models/swin.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, {name: value.detach().float().numpy() for name, value in tensors.items()}, {})


main()

#!/usr/bin/env python3
"""Reference numbers for Lion, Muon and the average of weights, written out in PyTorch from their papers.

Writes test/golden/optimizers/lion-muon-ema.safetensors:

  <case>.start.<p>            parameter p before the first step
  <case>.gradient.<s>.<p>     gradient given at step s
  <case>.parameter.<s>.<p>    parameter after step s
  <case>.average.<s>.<p>      average of parameter p after step s, where the case averages
  metadata <case>             JSON {"optimizer", "options", "ema"?, "steps", "parameters"}

Computed in float64 from float32 starts and gradients, stored as float32.

Run:  python3 scripts/reference/lion_muon_ema.py
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from store import write_safetensors

STEPS = 6
# Wide, tall and square matrices, a kernel, and what is no matrix.
SHAPES = [(3, 4), (7, 2), (4, 4), (3, 2, 2, 2), (5,), ()]


def lion(p, g, state, learningRate, betas=(0.9, 0.99), weightDecay=0.0):
    m = state.setdefault("m", torch.zeros_like(p))
    c = betas[0] * m + (1 - betas[0]) * g
    state["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - learningRate * (torch.sign(c) + weightDecay * p)


def adamw(p, g, state, learningRate, betas=(0.9, 0.999), eps=1e-8, weightDecay=0.01):
    parameter = state.setdefault("parameter", torch.nn.Parameter(p.clone()))
    options = dict(lr=learningRate, betas=betas, eps=eps, weight_decay=weightDecay)
    optimizer = state.setdefault("optimizer", torch.optim.AdamW([parameter], **options))
    parameter.grad = g
    optimizer.step()
    return parameter.detach().clone()


def newton_schulz(x, steps):
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


def muon(p, g, state, learningRate, momentum=0.95, nesterov=True, weightDecay=0.1, steps=5, scale="original", adamW=None):
    if p.dim() < 2:
        return adamw(p, g, state, **({"learningRate": learningRate} | (adamW or {})))
    m = state.setdefault("m", torch.zeros_like(p))
    m.lerp_(g, 1 - momentum)
    u = g.lerp(m, momentum) if nesterov else m
    flat = u.reshape(u.shape[0], -1)
    rows, columns = flat.shape
    factor = max(1, rows / columns) ** 0.5 if scale == "original" else 0.2 * max(rows, columns) ** 0.5
    return p * (1 - learningRate * weightDecay) - learningRate * factor * newton_schulz(flat, steps).reshape(p.shape)


RULES = {"lion": lion, "adamW": adamw, "muon": muon}

CASES = {
    "lion": ("lion", {"learningRate": 0.01}, None),
    "lion_weight_decay": ("lion", {"learningRate": 0.01, "weightDecay": 0.3}, None),
    "lion_betas": ("lion", {"learningRate": 0.02, "betas": [0.95, 0.98]}, None),
    "muon": ("muon", {"learningRate": 0.02}, None),
    "muon_no_decay": ("muon", {"learningRate": 0.02, "weightDecay": 0}, None),
    "muon_plain_momentum": ("muon", {"learningRate": 0.02, "momentum": 0.8, "nesterov": False, "steps": 4}, None),
    "muon_match_rms": ("muon", {"learningRate": 0.01, "scale": "match-rms-adamw"}, None),
    "muon_adamw_options": ("muon", {"learningRate": 0.02, "adamW": {"learningRate": 0.003, "betas": [0.8, 0.95]}}, None),
    "ema_adamw": ("adamW", {"learningRate": 0.01}, {"decay": 0.9}),
    "ema_long": ("adamW", {"learningRate": 0.01}, {"decay": 0.9999}),
    "ema_warmup": ("adamW", {"learningRate": 0.05}, {"decay": 0.4, "warmup": True}),
    "ema_muon": ("muon", {"learningRate": 0.02}, {"decay": 0.5}),
}


def average(old, new, step, decay, warmup=False):
    """`step` counts from 1."""
    keep = min(decay, (1 + step) / (10 + step)) if warmup else decay
    return keep * old + (1 - keep) * new


def main():
    tensors, metadata = {}, {}
    for name, (kind, options, ema) in CASES.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        draw = lambda shape: np.asarray(rng.standard_normal(shape)).astype(np.float32)
        for p, shape in enumerate(SHAPES):
            start = draw(shape)
            tensors[f"{name}.start.{p}"] = start
            value = torch.from_numpy(start.astype(np.float64))
            averaged, state = value, {}
            for step in range(STEPS):
                gradient = draw(shape)
                tensors[f"{name}.gradient.{step}.{p}"] = gradient
                value = RULES[kind](value, torch.from_numpy(gradient.astype(np.float64)), state, **options)
                tensors[f"{name}.parameter.{step}.{p}"] = value.numpy().astype(np.float32)
                if ema:
                    averaged = average(averaged, value, step + 1, **ema)
                    tensors[f"{name}.average.{step}.{p}"] = averaged.numpy().astype(np.float32)
        averaging = {"ema": ema} if ema else {}
        metadata[name] = json.dumps(
            {"optimizer": kind, "options": options, **averaging, "steps": STEPS, "parameters": len(SHAPES)}
        )
    path = Path(__file__).resolve().parents[2] / "test" / "golden" / "optimizers" / "lion-muon-ema.safetensors"
    size = write_safetensors(path, tensors, metadata)
    print(f"{len(metadata)} cases, {size} bytes")


if __name__ == "__main__":
    main()

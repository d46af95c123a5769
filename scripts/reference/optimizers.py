#!/usr/bin/env python3
"""Reference numbers for optimizers, gradient clipping and learning-rate schedules, from PyTorch.

Writes test/golden/optimizers/<family>.safetensors:

  updates    <case>.start.<p>            parameter p before the first step
             <case>.gradient.<s>.<p>     gradient given at step s (before clipping)
             <case>.parameter.<s>.<p>    parameter after step s
             <case>.gradient_norm.<s>    total norm before clipping, where the case clips
             metadata <case>             JSON {"optimizer", "options", "clipNorm"?, "steps", "parameters"}
  schedules  <case>.values               learning-rate factor at steps 0, 1, 2, …
             metadata <case>             JSON {"schedule", "options"}

Computed in float64 from float32 starts and gradients, stored as float32.

Run:  python3 scripts/reference/optimizers.py
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from store import write_safetensors

SHAPES = [(3, 4), (5,), ()]
STEPS = 6

RENAMED = {"learningRate": "lr", "weightDecay": "weight_decay"}

OPTIMIZERS = {
    "sgd": ("sgd", {"learningRate": 0.1}),
    "sgd_weight_decay": ("sgd", {"learningRate": 0.1, "weightDecay": 0.05}),
    "sgd_momentum": ("sgd", {"learningRate": 0.1, "momentum": 0.9}),
    "sgd_momentum_decay": ("sgd", {"learningRate": 0.1, "momentum": 0.9, "weightDecay": 0.05}),
    "sgd_dampening": ("sgd", {"learningRate": 0.1, "momentum": 0.9, "dampening": 0.5}),
    "sgd_nesterov": ("sgd", {"learningRate": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd_nesterov_decay": ("sgd", {"learningRate": 0.1, "momentum": 0.9, "nesterov": True, "weightDecay": 0.05}),
    "adam": ("adam", {"learningRate": 0.01}),
    "adam_weight_decay": ("adam", {"learningRate": 0.01, "weightDecay": 0.1}),
    "adam_betas": ("adam", {"learningRate": 0.01, "betas": [0.8, 0.95]}),
    "adam_eps": ("adam", {"learningRate": 0.01, "eps": 1e-2}),
    "adam_amsgrad": ("adam", {"learningRate": 0.01, "amsgrad": True}),
    "adamW": ("adamW", {"learningRate": 0.01}),
    "adamW_no_decay": ("adamW", {"learningRate": 0.01, "weightDecay": 0}),
    "adamW_weight_decay": ("adamW", {"learningRate": 0.01, "weightDecay": 0.1}),
    "adamW_betas": ("adamW", {"learningRate": 0.01, "betas": [0.9, 0.95], "weightDecay": 0.1}),
    "adamW_eps": ("adamW", {"learningRate": 0.01, "eps": 1e-3, "weightDecay": 0.1}),
}

CLIPPED = {
    "sgd_clipped": ("sgd", {"learningRate": 0.1, "momentum": 0.9}, 1.0),
    "adamW_clipped": ("adamW", {"learningRate": 0.01, "weightDecay": 0.1}, 1.0),
    # A bound above every norm: nothing changes.
    "adamW_clip_idle": ("adamW", {"learningRate": 0.01}, 100.0),
}

CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamW": torch.optim.AdamW}

SCHEDULES = {
    "constant": ("constant", {}),
    "constant_warmup": ("constant", {"warmupSteps": 5}),
    "linear": ("linear", {"totalSteps": 20}),
    "linear_warmup": ("linear", {"totalSteps": 20, "warmupSteps": 5}),
    "linear_floor": ("linear", {"totalSteps": 20, "warmupSteps": 4, "finalFactor": 0.1}),
    "cosine": ("cosine", {"totalSteps": 20}),
    "cosine_warmup": ("cosine", {"totalSteps": 20, "warmupSteps": 5}),
    "cosine_floor": ("cosine", {"totalSteps": 20, "warmupSteps": 4, "finalFactor": 0.1}),
}


def updates(tensors, metadata):
    cases = {name: (*case, None) for name, case in OPTIMIZERS.items()} | CLIPPED
    for name, (kind, options, clip) in cases.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        starts = [np.asarray(rng.standard_normal(s)).astype(np.float32) for s in SHAPES]
        parameters = [torch.nn.Parameter(torch.from_numpy(s.astype(np.float64))) for s in starts]
        optimizer = CLASSES[kind](parameters, **{RENAMED.get(k, k): v for k, v in options.items()})
        for p, start in enumerate(starts):
            tensors[f"{name}.start.{p}"] = start
        for step in range(STEPS):
            for p, parameter in enumerate(parameters):
                gradient = np.asarray(rng.standard_normal(SHAPES[p])).astype(np.float32)
                tensors[f"{name}.gradient.{step}.{p}"] = gradient
                parameter.grad = torch.from_numpy(gradient.astype(np.float64))
            if clip is not None:
                norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
                tensors[f"{name}.gradient_norm.{step}"] = np.asarray(norm.item(), dtype=np.float32)
            optimizer.step()
            for p, parameter in enumerate(parameters):
                tensors[f"{name}.parameter.{step}.{p}"] = parameter.detach().numpy().astype(np.float32)
        clipping = {} if clip is None else {"clipNorm": clip}
        metadata[name] = json.dumps({"optimizer": kind, "options": options, **clipping, "steps": STEPS, "parameters": len(SHAPES)})


def factor(kind, step, totalSteps=0, warmupSteps=0, finalFactor=0.0):
    """As Hugging Face's get_{constant,linear,cosine}_schedule_with_warmup: step 0 of a warm-up has factor 0, step
    `warmupSteps` has factor 1, step `totalSteps` and later have `finalFactor`."""
    if step < warmupSteps:
        return step / warmupSteps
    if kind == "constant":
        return 1.0
    progress = min(1.0, (step - warmupSteps) / (totalSteps - warmupSteps))
    remaining = 1 - progress if kind == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return finalFactor + (1 - finalFactor) * remaining


def schedules(tensors, metadata):
    for name, (kind, options) in SCHEDULES.items():
        parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step, k=kind, o=options: factor(k, step, **o))
        rates = []
        for _ in range(25):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        tensors[f"{name}.values"] = np.array(rates, dtype=np.float32)
        metadata[name] = json.dumps({"schedule": kind, "options": options})


def main():
    folder = Path(__file__).resolve().parents[2] / "test" / "golden" / "optimizers"
    folder.mkdir(parents=True, exist_ok=True)
    for family, fill in [("updates", updates), ("schedules", schedules)]:
        tensors, metadata = {}, {}
        fill(tensors, metadata)
        size = write_safetensors(folder / f"{family}.safetensors", tensors, metadata)
        print(f"{family}: {len(metadata)} cases, {size} bytes")


if __name__ == "__main__":
    main()

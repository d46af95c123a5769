#!/usr/bin/env python3
"""Reference numbers for multi-head self-attention and its variants, from PyTorch.

Writes test/golden/attention/attention.safetensors. Per case (B batch, T tokens, D width, H heads, K key/value heads,
W head width):

  <case>.input              [B, T, D]
  <case>.query.weight       [H*W, D]     projections are [out, in], no biases
  <case>.key.weight         [K*W, D]
  <case>.value.weight       [K*W, D]
  <case>.output.weight      [D, H*W]
  <case>.query_norm.weight  [W]          with QK-norm: RMS norm over each head's width, before rotary
  <case>.key_norm.weight    [W]
  <case>.padding            [B, T] bool  true = a real token (mask "padding"); false keys are never attended
  <case>.output             [B, T, D]
  <case>.loss_weights       [B, T, D]    gradients are those of sum(loss_weights * output)
  <case>.grad.<tensor>      for the input and every weight
  metadata <case>           JSON {"heads", "kvHeads", "headWidth", "mask", "window", "prefix", "positions", "qkNorm",
                            "eps", "base"}

mask       "none" | "causal" | "window" (causal; query i sees keys i-window+1..i) | "prefix" (causal, and every query
           sees the first `prefix` keys) | "padding" (real keys only) | "causal_padding"
positions  "none" | "rotary" (half rotation: the two halves of a head form the pairs; base 10000; positions 0..T-1) |
           "alibi" (Press et al., "Train Short, Test Long", 2022: score -= slope_h * (i - j))
Scores are scaled by 1/sqrt(W). Query head h uses key/value head h // (H/K).

Computed in float64 from float32 inputs, stored as float32. Run:  python3 scripts/reference/attention.py
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from store import write_safetensors

DEFAULTS = {"heads": 4, "kvHeads": 4, "headWidth": 4, "mask": "none", "window": 0, "prefix": 0, "positions": "none", "qkNorm": False, "eps": 1e-6, "base": 10000}

CASES = {
    "multi_head": {},
    "one_head": {"heads": 1, "kvHeads": 1, "headWidth": 8},
    "wide_heads": {"heads": 2, "kvHeads": 2, "headWidth": 12},
    "grouped_query": {"kvHeads": 2},
    "multi_query": {"kvHeads": 1},
    "causal": {"mask": "causal"},
    "grouped_causal": {"kvHeads": 2, "mask": "causal"},
    "window": {"mask": "window", "window": 3},
    "window_one": {"mask": "window", "window": 1},
    "window_beyond": {"mask": "window", "window": 50},
    "prefix": {"mask": "prefix", "prefix": 4},
    "padding": {"mask": "padding"},
    "causal_padding": {"mask": "causal_padding"},
    "alibi": {"mask": "causal", "positions": "alibi"},
    "alibi_six_heads": {"heads": 6, "kvHeads": 6, "mask": "causal", "positions": "alibi"},
    "rotary": {"positions": "rotary"},
    "rotary_causal": {"mask": "causal", "positions": "rotary"},
    "qk_norm": {"qkNorm": True},
    "llama": {"heads": 4, "kvHeads": 2, "headWidth": 6, "mask": "causal", "positions": "rotary"},
    "qwen": {"heads": 4, "kvHeads": 2, "headWidth": 6, "mask": "causal", "positions": "rotary", "qkNorm": True},
    "mistral": {"heads": 4, "kvHeads": 2, "mask": "window", "window": 4, "positions": "rotary"},
}

BATCH, TOKENS, WIDTH = 2, 7, 10
LENGTHS = [7, 4]


def alibi_slopes(heads):
    """Geometric, starting at 2^(-8/heads); for a number of heads that is no power of two, the paper's code interleaves
    the slopes of the next power of two."""
    if math.log2(heads).is_integer():
        return [2 ** (-8 * (i + 1) / heads) for i in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return alibi_slopes(lower) + alibi_slopes(2 * lower)[0::2][: heads - lower]


def visible(config, padding):
    """[B, 1, T, T] bool: may query i see key j?"""
    i = torch.arange(TOKENS)[:, None]
    j = torch.arange(TOKENS)[None, :]
    everywhere = torch.ones(TOKENS, TOKENS, dtype=torch.bool)
    allowed = {
        "none": everywhere,
        "padding": everywhere,
        "causal": j <= i,
        "causal_padding": j <= i,
        "window": (j <= i) & (j > i - config["window"]),
        "prefix": (j <= i) | (j < config["prefix"]),
    }[config["mask"]]
    return allowed[None, None] & (padding[:, None, None, :] if "padding" in config["mask"] else torch.ones(1, 1, 1, 1, dtype=torch.bool))


def rotate(x, base):
    """x [B, heads, T, W]: pair (k, k + W/2) turns by position / base^(2k/W)."""
    half = x.shape[-1] // 2
    frequencies = base ** (-torch.arange(half, dtype=torch.float64) * 2 / x.shape[-1])
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def attend(config, t, padding):
    heads, kv, width = config["heads"], config["kvHeads"], config["headWidth"]
    split = lambda y, n: y.reshape(BATCH, TOKENS, n, width).transpose(1, 2)
    q = split(t["input"] @ t["query.weight"].T, heads)
    k = split(t["input"] @ t["key.weight"].T, kv)
    v = split(t["input"] @ t["value.weight"].T, kv)
    if config["qkNorm"]:
        q = rms_norm(q, t["query_norm.weight"], config["eps"])
        k = rms_norm(k, t["key_norm.weight"], config["eps"])
    if config["positions"] == "rotary":
        q, k = rotate(q, config["base"]), rotate(k, config["base"])
    k = k.repeat_interleave(heads // kv, 1)
    v = v.repeat_interleave(heads // kv, 1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(width)
    if config["positions"] == "alibi":
        distance = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)[None, :]
        scores = scores - torch.tensor(alibi_slopes(heads), dtype=torch.float64)[:, None, None] * distance
    scores = scores.masked_fill(~visible(config, padding), -math.inf)
    mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(BATCH, TOKENS, heads * width)
    return mixed @ t["output.weight"].T


def add_case(name, config, tensors, metadata):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    heads, kv, width = config["heads"], config["kvHeads"], config["headWidth"]
    shapes = {
        "input": (BATCH, TOKENS, WIDTH),
        "query.weight": (heads * width, WIDTH),
        "key.weight": (kv * width, WIDTH),
        "value.weight": (kv * width, WIDTH),
        "output.weight": (WIDTH, heads * width),
    }
    arrays = {key: (rng.standard_normal(s) * (1 if key == "input" else 0.4)).astype(np.float32) for key, s in shapes.items()}
    if config["qkNorm"]:
        for key in ["query_norm.weight", "key_norm.weight"]:
            arrays[key] = rng.uniform(0.5, 1.5, width).astype(np.float32)
    leaves = {key: torch.from_numpy(a.astype(np.float64)).requires_grad_() for key, a in arrays.items()}
    padding = torch.arange(TOKENS)[None, :] < torch.tensor(LENGTHS)[:, None]
    output = attend(config, leaves, padding)
    weights = rng.standard_normal(tuple(output.shape)).astype(np.float32)
    loss = (output * torch.from_numpy(weights.astype(np.float64))).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    for key, array in arrays.items():
        tensors[f"{name}.{key}"] = array
    for key, gradient in zip(leaves, gradients):
        tensors[f"{name}.grad.{key}"] = gradient.numpy().astype(np.float32)
    if "padding" in config["mask"]:
        tensors[f"{name}.padding"] = padding.numpy()
    tensors[f"{name}.output"] = output.detach().numpy().astype(np.float32)
    tensors[f"{name}.loss_weights"] = weights
    metadata[name] = json.dumps(config)


def main():
    torch.set_num_threads(1)
    folder = Path(__file__).resolve().parents[2] / "test" / "golden" / "attention"
    folder.mkdir(parents=True, exist_ok=True)
    tensors, metadata = {}, {}
    for name, options in CASES.items():
        add_case(name, {**DEFAULTS, **options}, tensors, metadata)
    size = write_safetensors(folder / "attention.safetensors", tensors, metadata)
    print(f"attention: {len(metadata)} cases, {size} bytes")


if __name__ == "__main__":
    main()

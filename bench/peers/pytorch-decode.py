#!/usr/bin/env python3
"""Decoding with a cache in plain PyTorch: the architecture of our benchmark, one text, greedy.

8 layers, width 768, 12 heads, RMSNorm, SwiGLU (2,048), rotary positions, vocabulary 32,000, no biases; random weights.
Keys and values are written into buffers made beforehand, so that nothing is copied for a token.

Prints one line of JSON: {version, tokensPerSecond}, counted after the first new token.

Run:  python3 bench/peers/pytorch-decode.py --tokens 64 --threads 2
"""

import argparse
import json
import math
import time

import torch
import torch.nn.functional as F

LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY, CONTEXT, PROMPT = 8, 768, 12, 2048, 32000, 512, 32
HEAD = WIDTH // HEADS


def weight(*shape):
    return torch.randn(*shape) * 0.02


def norm(x, gain):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * gain


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    embedding, head = weight(VOCABULARY, WIDTH), weight(VOCABULARY, WIDTH)
    layers = [
        {
            "q": weight(WIDTH, WIDTH), "k": weight(WIDTH, WIDTH), "v": weight(WIDTH, WIDTH), "o": weight(WIDTH, WIDTH),
            "gate": weight(HIDDEN, WIDTH), "up": weight(HIDDEN, WIDTH), "down": weight(WIDTH, HIDDEN),
            "n1": torch.ones(WIDTH), "n2": torch.ones(WIDTH),
            "keys": torch.zeros(HEADS, CONTEXT, HEAD), "values": torch.zeros(HEADS, CONTEXT, HEAD),
        }
        for _ in range(LAYERS)
    ]
    frequencies = 1 / 10000 ** (torch.arange(0, HEAD, 2).float() / HEAD)
    angles = torch.outer(torch.arange(CONTEXT).float(), torch.cat([frequencies, frequencies]))
    cosines, sines = angles.cos(), angles.sin()

    def step(ids, start):
        """The next token after `ids`, which stand at `start` and after."""
        n = len(ids)
        end = start + n
        x = embedding[ids]
        cos, sin = cosines[start:end], sines[start:end]
        for layer in layers:
            h = norm(x, layer["n1"])
            q, k, v = (F.linear(h, layer[name]).view(n, HEADS, HEAD).transpose(0, 1) for name in "qkv")
            layer["keys"][:, start:end] = turn(k, cos, sin)
            layer["values"][:, start:end] = v
            scores = turn(q, cos, sin) @ layer["keys"][:, :end].transpose(1, 2) / math.sqrt(HEAD)
            if n > 1:
                scores = scores.masked_fill(torch.ones(n, end, dtype=torch.bool).triu(end - n + 1), -math.inf)
            mixed = scores.softmax(-1) @ layer["values"][:, :end]
            x = x + F.linear(mixed.transpose(0, 1).reshape(n, WIDTH), layer["o"])
            h = norm(x, layer["n2"])
            x = x + F.linear(F.silu(F.linear(h, layer["gate"])) * F.linear(h, layer["up"]), layer["down"])
        return int(F.linear(norm(x[-1:], torch.ones(WIDTH)), head).argmax())

    with torch.no_grad():
        for _ in range(2):  # the first time warms up
            token = step(torch.arange(5, 5 + PROMPT), 0)
            started = time.perf_counter()
            for i in range(options.tokens - 1):
                token = step(torch.tensor([token]), PROMPT + i)
            elapsed = time.perf_counter() - started
    print(json.dumps({"version": torch.__version__, "tokensPerSecond": (options.tokens - 1) / elapsed}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The decoding of our benchmark, in plain PyTorch: one token after the other with a cache of keys and values.

8 layers, width 768, 12 heads, vocabulary 32,000: RMSNorm before each part, rotary positions, SwiGLU of width 2,048, no
biases, untied head; 64 tokens after a prompt of 32, greedy, float32, batch 1. The cache is made once and written in place.

Prints one line of JSON: {version, threads, tokensPerSecond}: the tokens after the first one, without the prompt. One
round before it is not timed.

Run:  python3 bench/peers/pytorch-decode.py --threads 2
"""

import argparse
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY, PROMPT, TOKENS = 8, 768, 12, 2048, 32000, 32, 64
HEAD_WIDTH, LENGTH = WIDTH // HEADS, PROMPT + TOKENS


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = Norm(), Norm()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.register_buffer("keys", torch.zeros(1, HEADS, LENGTH, HEAD_WIDTH))
        self.register_buffer("values", torch.zeros(1, HEADS, LENGTH, HEAD_WIDTH))

    def forward(self, x, start, cos, sin, hidden):
        end = start + x.shape[1]
        y = self.norm1(x)
        q, k, v = (part(y).view(1, -1, HEADS, HEAD_WIDTH).transpose(1, 2) for part in (self.q, self.k, self.v))
        self.keys[:, :, start:end] = turned(k, cos, sin)
        self.values[:, :, start:end] = v
        scores = turned(q, cos, sin) @ self.keys[:, :, :end].transpose(-1, -2) / HEAD_WIDTH**0.5
        if hidden is not None:
            scores = scores.masked_fill(hidden, -1e30)
        mixed = scores.softmax(-1) @ self.values[:, :, :end]
        x = x + self.o(mixed.transpose(1, 2).reshape(1, -1, WIDTH))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def turned(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = Norm()
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        angles = torch.arange(LENGTH)[:, None] * 10000 ** (-torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos())
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin())
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids, start):
        """The likeliest token after the last of `ids` [1, n], which stand at `start` and on."""
        end = start + ids.shape[1]
        n = ids.shape[1]
        hidden = torch.ones(n, end, dtype=torch.bool).triu(1 + start) if n > 1 else None
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, start, self.cos[start:end], self.sin[start:end], hidden)
        return self.head(self.norm(x[:, -1:])).argmax(-1)


def rate(model):
    token = model(torch.arange(5, 5 + PROMPT)[None], 0)
    begin = time.perf_counter()
    for place in range(PROMPT, PROMPT + TOKENS - 1):
        token = model(token, place)
    return (TOKENS - 1) / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    model = Decoder().eval()
    with torch.inference_mode():
        rate(model)
        result = {"version": torch.__version__, "threads": torch.get_num_threads(), "tokensPerSecond": rate(model)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

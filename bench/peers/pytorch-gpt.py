#!/usr/bin/env python3
"""The GPT training step of our benchmark, in plain PyTorch: forward, backward and AdamW update.

6 layers, width 384, 6 heads (or as told), context 256, batch 8, vocabulary 512; learned positions, pre-LayerNorm, exact GELU,
biases in every linear layer, untied head without bias (11.1 M parameters). Causal attention is written out: PyTorch
before 2.0 has no fused one; where `scaled_dot_product_attention` exists it is used.

Prints one line of JSON: {version, blas, threads, parameters, stepMilliseconds: [...], lossFirst, lossLast,
peak, matmulGflops}; peak is the largest resident size of this process in bytes (Linux), matmulGflops its own float32
1024×1024 product. The first --warm-up steps are not timed.

Run:  python3 bench/peers/pytorch-gpt.py --steps 10 --threads 2 [--compile]

A fair comparison needs a fast BLAS, so look at `blas` first. Debian's PyTorch uses whatever libblas.so.3 is installed;
with the reference one ("libblas") a step takes about 18 times as long as with OpenBLAS. Without installing anything:
  apt-get download libopenblas0-pthread && dpkg -x libopenblas0-pthread_*.deb blas
  LD_LIBRARY_PATH=blas/usr/lib/x86_64-linux-gnu/openblas-pthread python3 bench/peers/pytorch-gpt.py
Where OPENBLAS_CORETYPE or OPENBLAS_L2_SIZE is set, unset it: it forces slower kernels.
"""

import argparse
import contextlib
import json
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, WIDTH, HEADS, CONTEXT, BATCH, VOCABULARY = 6, 384, 6, 256, 8, 512


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("hidden", torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).triu(1))

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, k, v = (y.view(batch, tokens, HEADS, -1).transpose(1, 2) for y in self.qkv(x).split(WIDTH, -1))
        if hasattr(F, "scaled_dot_product_attention"):
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            mixed = scores.masked_fill(self.hidden[:tokens, :tokens], -math.inf).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def matmul_gflops(size=1024, seconds=1.0):
    """The best of the products that fit into `seconds`: the machine's peak, not its average under other load."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def blas():
    """The matrix library that is really loaded, from the process's own memory map (Linux); else "bundled"."""
    try:
        with open("/proc/self/maps") as maps:
            files = {line.split("/")[-1].strip() for line in maps if "/" in line}
    except OSError:
        files = set()
    return next((name for name in ("mkl", "openblas", "libblas") if any(name in file for file in files)), "bundled")


def peak_memory():
    """VmHWM, not ru_maxrss: that one is the parent's where it was larger."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return 0


def main():
    global LAYERS, WIDTH, HEADS
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--heads", type=int, default=HEADS)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--half", action="store_true", help="products in float16, with a scaled loss (torch.autocast)")
    parser.add_argument("--compile", action="store_true", help="torch.compile (PyTorch 2 or later)")
    options = parser.parse_args()
    LAYERS, WIDTH, HEADS = options.layers, options.width, options.heads
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    model = Gpt().to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run = torch.compile(model) if options.compile else model
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1))
    tokens, targets = (x.to(options.device) for x in (ids[:, :-1].contiguous(), ids[:, 1:].reshape(-1)))
    scaler = torch.cuda.amp.GradScaler(enabled=options.half)

    times, losses = [], []
    for _ in range(options.warm_up + options.steps):
        start = time.perf_counter()
        with torch.autocast("cuda", torch.float16) if options.half else contextlib.nullcontext():
            loss = F.cross_entropy(run(tokens).reshape(-1, VOCABULARY), targets)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        times.append((time.perf_counter() - start) * 1000)

    result = {
        "version": torch.__version__,
        "blas": blas(),
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "stepMilliseconds": [round(t, 2) for t in times[options.warm_up :]],
        "lossFirst": losses[0],
        "lossLast": losses[-1],
        "peak": peak_memory(),
        "matmulGflops": round(matmul_gflops(), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

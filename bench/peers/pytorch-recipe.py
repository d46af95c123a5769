#!/usr/bin/env python3
"""nanoGPT's recipe for characters, in plain PyTorch: the same model, split and schedule as bench/recipe-process.js.

Learned positions, pre-LayerNorm without biases, exact GELU, head tied to the embedding; matrices N(0, 0.02), those that
write to the stream divided by the root of 2 L. AdamW with decay on matrices alone, gradients clipped by their norm, the
rate rising in a line and then falling as a cosine.

Prints one line of JSON: {version, startUp, seconds, loss, drawnLoss, parameters}: milliseconds from the start of this script
to the first step done, seconds of all steps without the evaluation, the loss over all of the validation text, and over
windows of it that begin at the places that the recipe names.

Run:  python3 bench/peers/pytorch-recipe.py '<recipe as JSON>' text.txt --train-length 1003854 --threads 2
"""

import time

BEGUN = time.perf_counter()

import argparse
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class LayerNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Attention(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("hidden", torch.ones(context, context, dtype=torch.bool).triu(1))

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = (y.view(batch, tokens, self.heads, -1).transpose(1, 2) for y in self.qkv(x).split(width, -1))
        if hasattr(F, "scaled_dot_product_attention"):
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            mixed = scores.masked_fill(self.hidden[:tokens, :tokens], -math.inf).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attention = Attention(width, heads, context)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, recipe, vocabulary):
        super().__init__()
        layers, width, heads, context = (recipe[key] for key in ("layers", "width", "heads", "context"))
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads, context) for _ in range(layers)])
        self.norm = LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                writes = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if writes else 0.02)

    def forward(self, ids):
        x = self.blocks(self.tokens(ids) + self.positions.weight[: ids.shape[1]])
        return F.linear(self.norm(x), self.tokens.weight)


def loss_of(model, text, starts, context):
    rows = torch.stack([text[start : start + context + 1] for start in starts])
    logits = model(rows[:, :-1])
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1))


def rate_at(step, recipe):
    if step < recipe["warmup"]:
        return recipe["learningRate"] * step / recipe["warmup"]
    progress = (step - recipe["warmup"]) / (recipe["steps"] - recipe["warmup"])
    span = recipe["learningRate"] - recipe["least"]
    return recipe["least"] + span * (1 + math.cos(math.pi * progress)) / 2


def train(model, text, recipe):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    gains = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": recipe["weightDecay"]}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe["learningRate"], betas=tuple(recipe["betas"]))
    first = 0.0
    for step in range(recipe["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, recipe)
        starts = torch.randint(len(text) - recipe["context"], (recipe["batch"],))
        loss = loss_of(model, text, starts, recipe["context"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimizer.step()
        first = first or (time.perf_counter() - BEGUN) * 1000
    return first


@torch.no_grad()
def mean_loss(model, text, starts, recipe):
    """Over the whole batches of windows that begin at `starts`."""
    context, size = recipe["context"], recipe["batch"]
    losses = [loss_of(model, text, part, context).item() for part in starts.split(size) if len(part) == size]
    return sum(losses) / len(losses)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("text")
    parser.add_argument("--train-length", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = json.loads(options.recipe)
    torch.manual_seed(recipe["seed"])
    with open(options.text, encoding="utf-8", newline="") as file:
        characters = file.read()
    index = {character: i for i, character in enumerate(sorted(set(characters)))}
    text = torch.tensor([index[character] for character in characters])

    begun = time.perf_counter()
    model = Gpt(recipe, len(index))
    start_up = train(model, text[: options.train_length], recipe)
    seconds = time.perf_counter() - begun
    rest, context = text[options.train_length :], recipe["context"]
    windows = torch.arange((len(rest) - 1) // context) * context
    result = {
        "version": torch.__version__,
        "startUp": start_up,
        "seconds": seconds,
        "loss": mean_loss(model, rest, windows, recipe),
        "drawnLoss": mean_loss(model, rest, torch.tensor(recipe["drawn"]), recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

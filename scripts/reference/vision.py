"""Reference numbers of the vision and text models that norms live in, from small independent PyTorch modules.

    /usr/bin/python3 scripts/reference/vision.py

Writes test/golden/models/<case>.safetensors:

  w.<name>       weights and running statistics, by the public names (timm, torchvision, Hugging Face)
  x.<name>       inputs
  y.<name>       outputs, in inference
  t.<name>       outputs in training mode (batch statistics), where the model has such norms
  loss_weights   gradients are those of sum(loss_weights * y.<first>)
  grad.<name>    gradients of some weights

Computed in float64 from float32 inputs, stored as float32.
"""

import math
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from store import write_safetensors

FOLDER = Path(__file__).resolve().parents[2] / "test" / "golden" / "models"
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def rounded(rng, *shape, scale=1.0):
    return torch.tensor((rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64))


def filled(model, rng):
    """Random values for everything, so that no gain is 1 and no bias 0; variances are positive."""
    model.double()
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        new = rounded(rng, *value.shape, scale=0.5 / math.sqrt(max(1, value[0].numel())) if value.dim() > 1 else 0.3)
        if name.endswith("running_var"):
            new = new.abs() + torch.tensor(np.float32(0.5).item(), dtype=torch.float64)
        elif value.dim() == 1 and not name.endswith(("bias", "running_mean")):
            new = new + 1
        value.copy_(new.float().double())
    return model


def store(name, tensors):
    arrays = {}
    for key, value in tensors.items():
        value = value.detach().numpy()
        arrays[key] = value.astype(np.float32) if value.dtype == np.float64 else value.astype(np.int32) if value.dtype == np.int64 else value
    size = write_safetensors(FOLDER / f"{name}.safetensors", arrays, {})
    print(f"{name}: {len(arrays)} tensors, {size} bytes")
    return size


def weights_of(model):
    return {f"w.{k}": v.clone() for k, v in model.state_dict().items() if "num_batches" not in k}


def with_gradients(model, y, rng, keep=lambda name: True):
    loss_weights = rounded(rng, *y.shape)
    names, values = zip(*[(n, p) for n, p in model.named_parameters() if keep(n)])
    gradients = torch.autograd.grad((loss_weights * y).sum(), values)
    return {"loss_weights": loss_weights, **{f"grad.{n}": g for n, g in zip(names, gradients)}}


# Vision transformers, by timm's names


class TimmAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, bias=None):
        B, T, D = x.shape
        q, k, v = self.qkv(x).reshape(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(D // self.heads)
        weights = torch.softmax(scores if bias is None else bias(scores), -1)
        return self.proj((weights @ v).transpose(1, 2).reshape(B, T, D))


class TimmMLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class TimmBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = TimmAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = TimmMLP(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, width, patch, norm=False):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)
        if norm:
            self.norm = nn.LayerNorm(width)

    def forward(self, x):
        y = self.proj(x).flatten(2).transpose(1, 2)
        return self.norm(y) if hasattr(self, "norm") else y


class TimmViT(nn.Module):
    def __init__(self, width=12, layers=2, heads=3, hidden=20, size=12, patch=4, classes=5, distilled=False, mean=False):
        super().__init__()
        self.mean = mean
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if distilled:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (2 if distilled else 1) + (size // patch) ** 2, width))
        self.patch_embed = PatchEmbed(width, patch)
        self.blocks = nn.ModuleList(TimmBlock(width, heads, hidden) for _ in range(layers))
        norm = nn.LayerNorm(width, eps=1e-6)
        if mean:
            self.fc_norm = norm
        else:
            self.norm = norm
        self.head = nn.Linear(width, classes)
        if distilled:
            self.head_dist = nn.Linear(width, classes)

    def forward(self, x, positions=None):
        x = self.patch_embed(x)
        tokens = [t.expand(len(x), -1, -1) for t in (self.cls_token, getattr(self, "dist_token", None)) if t is not None]
        x = torch.cat([*tokens, x], 1) + (self.pos_embed if positions is None else positions)
        for block in self.blocks:
            x = block(x)
        if self.mean:
            return self.head(self.fc_norm(x[:, 1:].mean(1)))
        x = self.norm(x)
        if len(tokens) == 2:
            return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2
        return self.head(x[:, 0])


@case
def vit(rng):
    model = filled(TimmViT(), rng)
    x = rounded(rng, 2, 3, 12, 12)
    y = model(x)
    out = {**weights_of(model), "x.image": x, "y.logits": y, **with_gradients(model, y, rng, lambda n: "blocks.1" not in n)}
    # An image of another size: positions of the patches resized as Hugging Face does.
    wide = rounded(rng, 1, 3, 16, 20)
    table = model.pos_embed
    grid = table[:, 1:].reshape(1, 3, 3, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(4, 5), mode="bicubic", align_corners=False)
    positions = torch.cat([table[:, :1], resized.permute(0, 2, 3, 1).reshape(1, 20, -1)], 1)
    return {**out, "x.wide": wide, "y.wide": model(wide, positions)}


@case
def vit_mean(rng):
    model = filled(TimmViT(layers=1, width=8, heads=2, hidden=12, mean=True), rng)
    x = rounded(rng, 2, 3, 12, 12)
    return {**weights_of(model), "x.image": x, "y.logits": model(x)}


def hf_vit_names(state, family):
    """timm's tensors by Hugging Face's names; ε is that of the configuration."""
    heads = {"deit": ("cls_classifier", "distillation_classifier"), "vit": ("classifier", None)}[family]
    embeddings = f"{family}.embeddings."
    simple = {
        "cls_token": f"{embeddings}cls_token",
        "dist_token": f"{embeddings}distillation_token",
        "pos_embed": f"{embeddings}position_embeddings",
    }
    out = {}
    for name, value in state.items():
        if name in simple:
            out[simple[name]] = value
            continue
        module, kind = name.rsplit(".", 1)
        if module.startswith("blocks."):
            _, layer, rest = module.split(".", 2)
            prefix = f"{family}.encoder.layer.{layer}."
            if rest == "attn.qkv":
                for part, piece in zip(("query", "key", "value"), value.chunk(3)):
                    out[f"{prefix}attention.attention.{part}.{kind}"] = piece
                continue
            rest = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}[rest]
            out[f"{prefix}{rest}.{kind}"] = value
        else:
            theirs = {"patch_embed.proj": f"{embeddings}patch_embeddings.projection", "norm": f"{family}.layernorm", "head": heads[0], "head_dist": heads[1]}[module]
            out[f"{theirs}.{kind}"] = value
    return out


@case
def deit_huggingface(rng):
    model = filled(TimmViT(layers=1, width=8, heads=2, hidden=12, distilled=True), rng)
    x = rounded(rng, 2, 3, 12, 12)
    weights = hf_vit_names({k[2:]: v for k, v in weights_of(model).items()}, "deit")
    return {**{f"w.{k}": v for k, v in weights.items()}, "x.image": x, "y.logits": model(x)}


@case
def vit_huggingface(rng):
    model = filled(TimmViT(layers=1, width=8, heads=2, hidden=12), rng)
    x = rounded(rng, 2, 3, 12, 12)
    weights = hf_vit_names({k[2:]: v for k, v in weights_of(model).items()}, "vit")
    return {**{f"w.{k}": v for k, v in weights.items()}, "x.image": x, "y.logits": model(x)}


# BERT, by Hugging Face's names


class BertSelf(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x, real):
        B, T, D = x.shape
        q, k, v = (layer(x).reshape(B, T, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(D // self.heads)
        scores = scores.masked_fill(~real[:, None, None, :], -math.inf)
        return (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(B, T, D)


class BertOutput(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, onto):
        return self.LayerNorm(self.dense(x) + onto)


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = nn.ModuleDict({"self": BertSelf(width, heads), "output": BertOutput(width, width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = BertOutput(hidden, width)

    def forward(self, x, real):
        x = self.attention["output"](self.attention["self"](x, real), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class BertForPreTraining(nn.Module):
    def __init__(self, vocabulary=23, width=12, heads=3, hidden=20, layers=2, context=10):
        super().__init__()
        self.bert = nn.Module()
        self.bert.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(vocabulary, width),
            "position_embeddings": nn.Embedding(context, width),
            "token_type_embeddings": nn.Embedding(2, width),
            "LayerNorm": nn.LayerNorm(width, eps=1e-12),
        })
        self.bert.encoder = nn.ModuleDict({"layer": nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(layers))})
        self.bert.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})
        transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})
        self.cls = nn.Module()
        self.cls.predictions = nn.Module()
        self.cls.predictions.bias = nn.Parameter(torch.zeros(vocabulary))
        self.cls.predictions.transform = transform
        self.cls.seq_relationship = nn.Linear(width, 2)

    def forward(self, ids, types, real):
        e = self.bert.embeddings
        x = e["word_embeddings"](ids) + e["token_type_embeddings"](types) + e["position_embeddings"].weight[: ids.shape[1]]
        x = e["LayerNorm"](x)
        for layer in self.bert.encoder["layer"]:
            x = layer(x, real)
        pooled = torch.tanh(self.bert.pooler["dense"](x[:, 0]))
        t = self.cls.predictions.transform
        words = t["LayerNorm"](F.gelu(t["dense"](x))) @ e["word_embeddings"].weight.T + self.cls.predictions.bias
        return x, pooled, words, self.cls.seq_relationship(pooled)


@case
def bert(rng):
    model = filled(BertForPreTraining(), rng)
    with torch.no_grad():
        for table in list(model.bert.embeddings.values())[:3]:
            table.weight.copy_((table.weight * 4).float().double())
    ids = torch.tensor(rng.integers(0, 23, (2, 7)))
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0]])
    real = torch.tensor([[True] * 7, [True] * 5 + [False] * 2])
    stream, pooled, words, follows = model(ids, types, real)
    out = {**weights_of(model), "x.tokens": ids, "x.types": types, "x.padding": real}
    out.update({"y.stream": stream, "y.pooled": pooled, "y.words": words, "y.follows": follows})
    return {**out, **with_gradients(model, words, rng, lambda n: "layer.1" not in n and "pooler" not in n and "seq_" not in n)}


# DenseNet, by torchvision's names


class IBN(nn.Module):
    """The authors' layer for DenseNets: batch norm on the first channels, instance norm on the rest."""

    def __init__(self, channels, ratio):
        super().__init__()
        self.half = int(channels * (1 - ratio))
        self.BN = nn.BatchNorm2d(self.half)
        self.IN = nn.InstanceNorm2d(channels - self.half, affine=True)

    def forward(self, x):
        return torch.cat([self.BN(x[:, : self.half]), self.IN(x[:, self.half :])], 1)


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth, ibn):
        super().__init__()
        self.norm1 = IBN(inputs, 0.4) if ibn else nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class SmallDenseNet(nn.Module):
    def __init__(self, growth=4, layers=2, classes=5, ibn=()):
        super().__init__()
        width = 2 * growth
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, width, 3, padding=1, bias=False))
        for s in range(3):
            block = nn.Sequential()
            for i in range(layers):
                block.add_module(f"denselayer{i + 1}", DenseLayer(width + i * growth, growth, s in ibn and i % 3 == 0))
            width += layers * growth
            self.features.add_module(f"denseblock{s + 1}", block)
            if s < 2:
                between = nn.Sequential()
                between.add_module("norm", nn.BatchNorm2d(width))
                between.add_module("relu", nn.ReLU())
                between.add_module("conv", nn.Conv2d(width, width // 2, 1, bias=False))
                between.add_module("pool", nn.AvgPool2d(2, 2))
                self.features.add_module(f"transition{s + 1}", between)
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


@case
def densenet(rng):
    model = filled(SmallDenseNet(), rng).eval()
    x = rounded(rng, 2, 3, 8, 8)
    y = model(x)
    out = {**weights_of(model), "x.image": x, "y.logits": y}
    out.update(with_gradients(model, y, rng, lambda n: "denseblock1" in n or "transition2" in n or "norm5" in n))
    return {**out, "t.logits": model.train()(x)}


@case
def densenet_ibn_a(rng):
    model = filled(SmallDenseNet(layers=1, ibn=(0, 1)), rng).eval()
    x = rounded(rng, 2, 3, 8, 8)
    return {**weights_of(model), "x.image": x, "y.logits": model(x)}


# ResNet, by torchvision's names; with squeeze-and-excitation by timm's


class TimmSE(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, planes, stride, squeeze):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        if squeeze:
            self.se = TimmSE(planes, squeeze)
        if stride > 1 or inputs != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "se"):
            y = self.se(y)
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class SmallResNet(nn.Module):
    def __init__(self, width=4, classes=5, squeeze=None):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(ResidualBlock(width, width, 1, squeeze))
        self.layer2 = nn.Sequential(ResidualBlock(width, 2 * width, 2, squeeze))
        self.layer3 = nn.Sequential(ResidualBlock(2 * width, 4 * width, 2, squeeze))
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


@case
def resnet(rng):
    model = filled(SmallResNet(), rng).eval()
    x = rounded(rng, 2, 3, 8, 8)
    counters = {f"w.{k}": v for k, v in model.state_dict().items() if "num_batches" in k}
    return {**weights_of(model), **counters, "x.image": x, "y.logits": model(x)}


@case
def resnet_timm_se(rng):
    model = filled(SmallResNet(width=2, squeeze=2), rng).eval()
    x = rounded(rng, 2, 3, 8, 8)
    return {**weights_of(model), "x.image": x, "y.logits": model(x)}


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = sys.argv[1:] or list(CASES)
    total = sum(store(name, CASES[name](np.random.default_rng(zlib.crc32(name.encode())))) for name in chosen)
    print(f"{total} bytes")


if __name__ == "__main__":
    main()

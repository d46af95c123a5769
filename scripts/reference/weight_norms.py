#!/usr/bin/env python3
"""Reference numbers for spectral and weight normalisation, from torch.nn.utils.

Writes test/golden/weight-norms/weight-norms.safetensors. A case is a layer over three training passes with fixed parameters,
then one in evaluation:

  <case>.start.<name>     state before the first pass, by torch's names (weight_orig, weight_u, weight_v; weight_g, weight_v)
  <case>.x                input
  <case>.up               upstream gradient
  <case>.out.<i>          output of training pass i, then of evaluation (i = 3)
  <case>.grad.<name>.<i>  gradients of training pass i
  <case>.state.<name>     u and v after the passes
  metadata <case>         JSON {"layer", "norm", "iterations"}

Computed in float64 from float32 starts, stored as float32.

Run:  python3 scripts/reference/weight_norms.py
"""

import json
from pathlib import Path

import torch
from torch.nn.utils import spectral_norm, weight_norm

from store import write_safetensors

LAYERS = {
    "linear": (lambda: torch.nn.Linear(5, 4), (3, 5)),
    "conv2d": (lambda: torch.nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), (2, 3, 7, 6)),
    "convTranspose2d": (lambda: torch.nn.ConvTranspose2d(4, 3, 2, stride=2), (2, 4, 3, 3)),
}


def main():
    torch.manual_seed(5)
    tensors, metadata = {}, {}
    for kind, (make, shape) in LAYERS.items():
        for norm, iterations in [("spectral", 1), ("spectral", 3), ("weight", 0)]:
            case = f"{kind}-{norm}{iterations or ''}"
            layer = make()
            layer = weight_norm(layer) if norm == "weight" else spectral_norm(layer, n_power_iterations=iterations)
            if norm == "weight":  # a length of its own: g is not the length of v
                layer.weight_g.data.mul_(torch.rand_like(layer.weight_g) + 0.5)
            tensors.update({f"{case}.start.{k}": v.clone() for k, v in layer.state_dict().items()})
            layer, x = layer.double(), torch.randn(shape).double()
            up = None
            tensors[f"{case}.x"] = x
            for i in range(3):
                out = layer(x)
                if up is None:
                    up = torch.randn(out.shape).float().double()
                    tensors[f"{case}.up"] = up
                named = dict(layer.named_parameters())
                grads = torch.autograd.grad((out * up).sum(), list(named.values()))
                tensors[f"{case}.out.{i}"] = out
                tensors.update({f"{case}.grad.{k}.{i}": g for k, g in zip(named, grads)})
            layer.eval()
            tensors[f"{case}.out.3"] = layer(x)
            if norm == "spectral":
                tensors.update({f"{case}.state.{k}": getattr(layer, k) for k in ("weight_u", "weight_v")})
            metadata[case] = json.dumps({"layer": kind, "norm": norm, "iterations": iterations})
    arrays = {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    path = Path(__file__).parents[2] / "test/golden/weight-norms/weight-norms.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, arrays, metadata)


if __name__ == "__main__":
    main()

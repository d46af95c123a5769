"""An ONNX file as PyTorch writes it, for reading values inside the models of others: a two-layer encoder, exported with
operation set 9 and axes of any size, its inputs, and what every layer gives, taken by hooks.

    python3 scripts/reference/onnx_taps.py test/golden/onnx
"""

import os
import sys

import numpy as np
import torch
from torch import nn

from store import write_safetensors


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x, mask):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / x.shape[-1] ** 0.5
        x = x + (scores + mask[:, None, :]).softmax(-1) @ self.value(x)
        return x + self.down(torch.tanh(self.up(x)))


class Encoder(nn.Module):
    def __init__(self, rows=50, width=8):
        super().__init__()
        self.embedding = nn.Embedding(rows, width)
        self.layers = nn.ModuleList([Layer(width), Layer(width)])

    def forward(self, ids, mask):
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, mask)
        return x


def main(folder):
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(0)
    model = Encoder().eval()
    ids = torch.randint(0, 50, (2, 5))
    mask = torch.where(torch.rand(2, 5) < 0.8, 0.0, -1e4)
    found = {}
    for name, module in model.named_modules():
        if name and not isinstance(module, nn.ModuleList):
            module.register_forward_hook(lambda _, __, y, name=name: found.__setitem__(name, y.detach().numpy()))
    with torch.no_grad():
        model(ids, mask)
    expected = dict(found)
    torch.onnx.export(
        model,
        (ids, mask),
        os.path.join(folder, "encoder.onnx"),
        input_names=["ids", "mask"],
        output_names=["states"],
        dynamic_axes={"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}},
        opset_version=9,
    )
    write_safetensors(os.path.join(folder, "inputs.safetensors"), {"ids": ids.numpy(), "mask": mask.numpy()}, {"format": "pt"})
    write_safetensors(os.path.join(folder, "expected.safetensors"), {k: np.asarray(v) for k, v in expected.items()}, {"format": "pt"})


if __name__ == "__main__":
    main(sys.argv[1])

"""PyTorch's recurrent layers: outputs, last states and gradients, also of padded sequences.

    /usr/bin/python3 scripts/reference/recurrent.py test/golden/recurrent/pytorch.safetensors

Tensors of a case <c>: <c>.x, <c>.h0, <c>.c0, <c>.lengths (padded cases), <c>.loss_weights, <c>.weights.<name>, <c>.outputs,
<c>.h, <c>.c, <c>.grad.x, <c>.grad.h0, <c>.grad.c0, <c>.grad.<name>. The loss is sum(loss_weights * outputs) + sum(h) + sum(c).
Outputs of padded cases are 0 at padded steps. Metadata <c>: JSON of the options.
"""

import json
import os
import sys

import numpy as np
import torch
from store import write_safetensors

CASES = {
    "rnn": ("RNN", {}),
    "rnn-relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "lstm-deep": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "lstm-no-bias": ("LSTM", {"bias": False}),
    "lstm-padded": ("LSTM", {"num_layers": 2, "bidirectional": True, "padded": True}),
    "gru": ("GRU", {}),
    "gru-deep": ("GRU", {"num_layers": 2, "bidirectional": True}),
    "gru-padded": ("GRU", {"bidirectional": True, "padded": True}),
}
B, T, I, H = 3, 5, 4, 6


def rounded(rng, *shape):
    return torch.tensor(rng.standard_normal(shape).astype(np.float32).astype(np.float64), requires_grad=True)


def run(name, kind, options):
    rng = np.random.default_rng(sum(map(ord, name)))
    options = dict(options)
    padded = options.pop("padded", False)
    layer = getattr(torch.nn, kind)(I, H, batch_first=True, **options).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.tensor((rng.standard_normal(p.shape) * 0.5).astype(np.float32)))
    places = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    given = {"x": rounded(rng, B, T, I), "h0": rounded(rng, places, B, H)}
    if kind == "LSTM":
        given["c0"] = rounded(rng, places, B, H)
    start = (given["h0"], given["c0"]) if kind == "LSTM" else given["h0"]
    lengths = torch.tensor([5, 2, 3])
    x = given["x"]
    if padded:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = layer(x, start)
    if padded:
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=T)
    states = dict(zip(("h", "c"), last if kind == "LSTM" else (last,)))
    loss_weights = torch.tensor(rng.standard_normal(outputs.shape).astype(np.float32).astype(np.float64))
    ((loss_weights * outputs).sum() + sum(s.sum() for s in states.values())).backward()
    found = {**given, "loss_weights": loss_weights, "outputs": outputs, **states}
    found.update({f"grad.{k}": v.grad for k, v in given.items()})
    for k, p in layer.named_parameters():
        found[f"weights.{k}"], found[f"grad.{k}"] = p, p.grad
    tensors = {f"{name}.{k}": v.detach().numpy().astype(np.float32) for k, v in found.items()}
    if padded:
        tensors[f"{name}.lengths"] = lengths.numpy().astype(np.int32)
    return tensors


tensors = {}
for case, (kind, options) in CASES.items():
    tensors.update(run(case, kind, options))
metadata = {case: json.dumps({"kind": kind, **options}) for case, (kind, options) in CASES.items()}
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
print(write_safetensors(sys.argv[1], tensors, metadata), "bytes")

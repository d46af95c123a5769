"""A case is one call of one operation with its inputs, outputs and gradients. `Cases` collects them and writes one
safetensors file.

Tensors of a case:   <case>.input.<i>          inputs as given
                     <case>.output.<k>         outputs
                     <case>.loss_weights.<k>   w_k of the scalar loss  sum_k sum(w_k * output_k)  (float outputs only)
                     <case>.grad.<i>           d loss / d input_i      (differentiable inputs only)
Metadata of a case:  one string key <case> with JSON {"op", "attributes", "smooth"}; attributes are the options of our
TypeScript operation. "smooth": false marks inputs that sit on a kink (ties, zeros), where a difference quotient means
nothing.

Everything is computed in float64 from inputs that were rounded to float32 first, then stored as float32, so a stored
number is the correctly rounded answer for the stored inputs.
"""

import json
import struct
import zlib

import numpy as np
import torch

NAMES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "bool": "BOOL", "uint8": "U8", "int8": "I8", "float16": "F16"}


def write_safetensors(path, tensors, metadata):
    """Widest elements first (as the format's own writer does), then by name: every tensor stays aligned."""
    header = {"__metadata__": metadata}
    body = []
    offset = 0
    for name in sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)):
        # ascontiguousarray turns a scalar into one row; the shape is kept by hand.
        array = tensors[name]
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        body.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(body))
    return 8 + len(text) + offset


def normal(*shape, scale=1.0):
    return lambda rng: rng.standard_normal(shape) * scale


def uniform(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape)


def integers(low, high, *shape):
    return lambda rng: rng.integers(low, high, shape)


def booleans(*shape):
    return lambda rng: rng.random(shape) < 0.5


def values(*numbers, shape=None):
    array = np.array(numbers)
    return array if shape is None else array.reshape(shape)


def stored(array):
    """Floats as float32 and integers as int32, unless the case asked for another type by passing a tensor of it."""
    if array.dtype == np.float64:
        return array.astype(np.float32)
    return array.astype(np.int32) if array.dtype == np.int64 else array


class Cases:
    def __init__(self, family):
        self.family = family
        self.tensors = {}
        self.metadata = {}

    def add(self, name, op, inputs, compute, attributes=None, smooth=True, wide=False):
        """`wide` keeps int64 as int64 (inputs and outputs)."""
        assert name not in self.metadata, name
        keep = (lambda a: a.astype(np.float32) if a.dtype == np.float64 else a) if wide else stored
        rng = np.random.default_rng(zlib.crc32(f"{self.family}.{name}".encode()))
        arrays = [keep(np.asarray(i(rng) if callable(i) else i)) for i in inputs]
        leaves = [to_torch(a) for a in arrays]
        outputs = compute(*leaves)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        for i, array in enumerate(arrays):
            self.tensors[f"{name}.input.{i}"] = array
        loss = None
        for k, output in enumerate(outputs):
            self.tensors[f"{name}.output.{k}"] = keep(output.detach().numpy())
            if output.dtype == torch.float64 and output.requires_grad:
                weights = np.asarray(rng.standard_normal(tuple(output.shape))).astype(np.float32)
                self.tensors[f"{name}.loss_weights.{k}"] = weights
                term = (output * torch.from_numpy(weights.astype(np.float64))).sum()
                loss = term if loss is None else loss + term
        if loss is not None:
            floats = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
            grads = torch.autograd.grad(loss, [leaves[i] for i in floats], allow_unused=True)
            for i, g in zip(floats, grads):
                g = torch.zeros_like(leaves[i]) if g is None else g
                self.tensors[f"{name}.grad.{i}"] = keep(g.numpy())
        self.metadata[name] = json.dumps({"op": op, "attributes": attributes or {}, "smooth": smooth})

    def write(self, folder):
        size = write_safetensors(folder / f"{self.family}.safetensors", self.tensors, self.metadata)
        print(f"{self.family}: {len(self.metadata)} cases, {size} bytes")
        return len(self.metadata), size


def to_torch(array):
    if array.dtype == np.float32:
        return torch.from_numpy(array.astype(np.float64)).requires_grad_()
    if array.dtype == np.int32:
        return torch.from_numpy(array.astype(np.int64))
    return torch.from_numpy(np.array(array))

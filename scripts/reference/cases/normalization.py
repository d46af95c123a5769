"""Softmax and the normalizations that are operations of their own."""

import numpy as np
import torch
import torch.nn.functional as F

from store import normal, uniform, values


def rms_norm(x, weight=None, eps=1e-6):
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


def add_to(cases):
    softmaxes(cases)
    layer_norms(cases)
    rms_norms(cases)


def softmaxes(cases):
    for op, function in [("softmax", F.softmax), ("logSoftmax", F.log_softmax)]:
        for axis in [-1, 0, 1, -2]:
            cases.add(f"{op}_axis_{axis}", op, [normal(3, 4, 5)], lambda x, f=function, a=axis: f(x, a), {"axis": axis})
        cases.add(f"{op}_default", op, [normal(3, 4)], lambda x, f=function: f(x, -1))
        cases.add(f"{op}_vector", op, [normal(7)], lambda x, f=function: f(x, 0), {"axis": 0})
        cases.add(f"{op}_one", op, [normal(3, 1)], lambda x, f=function: f(x, -1), {"axis": -1})
        far = values(1000.0, 1001.0, 990.0, -1000.0, 0.0, -990.0, shape=(2, 3))
        cases.add(f"{op}_far", op, [far], lambda x, f=function: f(x, -1), {"axis": -1})
        cases.add(f"{op}_equal", op, [np.full((2, 4), 3.0)], lambda x, f=function: f(x, -1), {"axis": -1})
        cases.add(f"{op}_empty_rows", op, [np.zeros((0, 4))], lambda x, f=function: f(x, -1), {"axis": -1})
    masked = values(0.5, -np.inf, 1.5, -np.inf, -np.inf, 2.0, shape=(2, 3))
    cases.add("softmax_masked", "softmax", [masked], lambda x: F.softmax(x, -1), {"axis": -1}, smooth=False)


def layer_norms(cases):
    table = {
        "last": ((2, 3, 8), 1, 1e-5),
        "two_axes": ((2, 3, 4), 2, 1e-5),
        "three_axes": ((2, 3, 4, 5), 3, 1e-5),
        "odd_width": ((3, 7), 1, 1e-5),
        "large_eps": ((3, 6), 1, 0.1),
        "vector": ((9,), 1, 1e-5),
    }
    for name, (shape, axes, eps) in table.items():
        tail = shape[-axes:]
        norm = lambda x, w=None, b=None, t=tail, e=eps: F.layer_norm(x, t, w, b, e)
        attributes = {"axes": axes, "eps": eps}
        cases.add(f"layerNorm_{name}_bare", "layerNorm", [normal(*shape)], norm, attributes)
        cases.add(f"layerNorm_{name}_weight", "layerNorm", [normal(*shape), uniform(0.5, 1.5, *tail)], norm, attributes)
        cases.add(f"layerNorm_{name}", "layerNorm", [normal(*shape), uniform(0.5, 1.5, *tail), normal(*tail)], norm, attributes)
    offset = lambda rng: rng.standard_normal((2, 16)) + 50
    cases.add("layerNorm_offset", "layerNorm", [offset], lambda x: F.layer_norm(x, (16,), eps=1e-5), {"axes": 1, "eps": 1e-5})
    cases.add("layerNorm_constant_rows", "layerNorm", [np.full((2, 4), 3.0)], lambda x: F.layer_norm(x, (4,), eps=1e-5), {"axes": 1, "eps": 1e-5}, smooth=False)


def rms_norms(cases):
    for name, shape, eps in [("last", (2, 3, 8), 1e-6), ("odd_width", (3, 7), 1e-5), ("large_eps", (3, 6), 0.1), ("vector", (9,), 1e-6)]:
        cases.add(f"rmsNorm_{name}_bare", "rmsNorm", [normal(*shape)], lambda x, e=eps: rms_norm(x, None, e), {"eps": eps})
        weight = uniform(0.5, 1.5, shape[-1])
        cases.add(f"rmsNorm_{name}", "rmsNorm", [normal(*shape), weight], lambda x, w, e=eps: rms_norm(x, w, e), {"eps": eps})
    cases.add("rmsNorm_zero_row", "rmsNorm", [np.zeros((1, 4))], lambda x: rms_norm(x, None, 1e-2), {"eps": 1e-2})

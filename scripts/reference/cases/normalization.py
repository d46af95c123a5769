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
    channels(cases)


def along(vector, x, axis):
    return vector if axis == -1 else vector.reshape(1, -1, *[1] * (x.dim() - 2))


def affine(axis):
    def call(x, scale, shift, plus=None):
        y = x * along(scale, x, axis) + along(shift, x, axis)
        return y if plus is None else y + plus

    return call


def batch_norm(axis, eps):
    def call(x, weight, bias):
        others = [i for i in range(x.dim()) if i != axis % x.dim()]
        mean, variance = x.mean(others), x.var(others, unbiased=False)
        centred = x - along(mean, x, axis)
        y = centred * along(weight / torch.sqrt(variance + eps), x, axis) + along(bias, x, axis)
        return y, mean, variance

    return call


def channels(cases):
    for name, shape, axis in [("rows", (5, 3), 1), ("images", (2, 3, 4, 5), 1), ("tokens", (2, 4, 3), -1), ("one_place", (3, 4, 1, 1), 1)]:
        width = shape[axis]
        vectors = [uniform(0.5, 1.5, width), normal(width)]
        cases.add(f"channelAffine_{name}", "channelAffine", [normal(*shape), *vectors], affine(axis), {"axis": axis})
        cases.add(f"channelAffine_{name}_plus", "channelAffine", [normal(*shape), *vectors, normal(*shape)], affine(axis), {"axis": axis})
        for eps in [1e-5, 0.1]:
            attributes = {"axis": axis, "eps": eps}
            cases.add(f"batchNorm_{name}_{eps}", "batchNorm", [normal(*shape), *vectors], batch_norm(axis, eps), attributes)
    offset = lambda rng: rng.standard_normal((4, 2, 3, 3)) + 50
    cases.add("batchNorm_offset", "batchNorm", [offset, uniform(0.5, 1.5, 2), normal(2)], batch_norm(1, 1e-5), {"axis": 1, "eps": 1e-5})


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

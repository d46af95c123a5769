"""Reductions over axes, arg-reductions, running sums, and the two sorting operations."""

import numpy as np
import torch

from store import booleans, integers, normal, uniform, values

SHAPE = (3, 4, 5)
AXES = {
    "all": None,
    "first": 0,
    "last": -1,
    "middle": 1,
    "pair": [0, 2],
    "negative_pair": [-1, -2],
    "every": [0, 1, 2],
}


def over(compute, axes, keep, rank):
    """A reduction over one axis, several, or all of them, spelled the same way for every PyTorch function."""
    dims = tuple(range(rank)) if axes is None else tuple(np.atleast_1d(axes).tolist())
    return lambda x: compute(x, dims, keep)


def product(x, dims, keep):
    for d in sorted((d % x.dim() for d in dims), reverse=True):
        x = x.prod(d, keepdim=True)
    return x if keep else x.squeeze(dims[0]) if len(dims) == 1 else x.reshape([n for i, n in enumerate(x.shape) if i not in {d % x.dim() for d in dims}])


def each(compute):
    """any and all take one axis at a time."""

    def reduce(x, dims, keep):
        for d in sorted((d % x.dim() for d in dims), reverse=True):
            x = compute(x, d, keep)
        return x

    return reduce


REDUCTIONS = {
    "sum": lambda x, d, k: x.sum(d, keepdim=k),
    "mean": lambda x, d, k: x.mean(d, keepdim=k),
    "variance": lambda x, d, k: x.var(d, unbiased=False, keepdim=k),
    "max": lambda x, d, k: x.amax(d, keepdim=k),
    "min": lambda x, d, k: x.amin(d, keepdim=k),
    "prod": product,
    "logSumExp": lambda x, d, k: torch.logsumexp(x, d, keepdim=k),
    "norm": lambda x, d, k: torch.linalg.vector_norm(x, 2, d, keepdim=k),
}


def add_to(cases):
    floats(cases)
    special(cases)
    whole_numbers(cases)
    positions(cases)
    running(cases)
    sorting(cases)


def floats(cases):
    for op, compute in REDUCTIONS.items():
        for name, axes in AXES.items():
            attributes = {} if axes is None else {"axes": axes}
            cases.add(f"{op}_{name}", op, [normal(*SHAPE)], over(compute, axes, False, 3), attributes)
        for name in ["last", "pair", "all"]:
            attributes = {"keepDims": True} if AXES[name] is None else {"axes": AXES[name], "keepDims": True}
            cases.add(f"{op}_{name}_keep", op, [normal(*SHAPE)], over(compute, AXES[name], True, 3), attributes)
        cases.add(f"{op}_scalar", op, [values(0.6, shape=())], over(compute, None, False, 0) if op != "prod" else lambda x: x.prod(), smooth=op != "variance")
        cases.add(f"{op}_axis_of_one", op, [normal(4, 1)], over(compute, 1, False, 2), {"axes": 1})


def special(cases):
    unbiased = lambda x: x.var((1,), unbiased=True)
    cases.add("variance_correction", "variance", [normal(3, 6)], unbiased, {"axes": 1, "correction": 1})
    both = lambda x: x.var((0, 2), unbiased=True, keepdim=True)
    cases.add("variance_correction_pair", "variance", [normal(3, 2, 4)], both, {"axes": [0, 2], "correction": 1, "keepDims": True})
    cases.add("variance_offset", "variance", [lambda rng: rng.standard_normal((2, 16)) + 100], lambda x: x.var(1, unbiased=False), {"axes": 1})
    # Equal maxima share the gradient evenly.
    tied = values(1.0, 3.0, 3.0, 2.0, 2.0, 2.0, shape=(2, 3))
    cases.add("max_ties", "max", [tied], lambda x: x.amax(1), {"axes": 1}, smooth=False)
    cases.add("min_ties", "min", [-tied], lambda x: x.amin(1), {"axes": 1}, smooth=False)
    zeros = values(2.0, 0.0, 3.0, 0.0, 0.0, 5.0, 1.5, 2.5, -2.0, shape=(3, 3))
    cases.add("prod_zeros", "prod", [zeros], lambda x: x.prod(1), {"axes": 1})
    cases.add("prod_zeros_all", "prod", [values(2.0, 0.0, 3.0)], lambda x: x.prod())
    cases.add("logSumExp_far", "logSumExp", [values(1000.0, 1001.0, -1000.0, -1001.0, shape=(2, 2))], lambda x: torch.logsumexp(x, 1), {"axes": 1})
    masked = values(0.5, -np.inf, 1.5, -np.inf, -np.inf, 2.0, shape=(2, 3))
    cases.add("logSumExp_masked", "logSumExp", [masked], lambda x: torch.logsumexp(x, 1), {"axes": 1}, smooth=False)
    empty = np.zeros((2, 0))
    cases.add("sum_empty_axis", "sum", [empty], lambda x: x.sum(1), {"axes": 1})
    cases.add("sum_empty_rows", "sum", [np.zeros((0, 3))], lambda x: x.sum(1), {"axes": 1})
    cases.add("sum_empty_all", "sum", [empty], lambda x: x.sum())
    cases.add("prod_empty_axis", "prod", [empty], lambda x: x.prod(1), {"axes": 1})
    cases.add("mean_empty_rows", "mean", [np.zeros((0, 3))], lambda x: x.mean(1), {"axes": 1})
    cases.add("sum_long", "sum", [uniform(0, 1, 3000)], lambda x: x.sum())


def whole_numbers(cases):
    for op in ["sum", "max", "min", "prod"]:
        compute = over(REDUCTIONS[op], 1, False, 2)
        cases.add(f"{op}_int", op, [integers(-5, 5, 3, 4)], compute, {"axes": 1})
        cases.add(f"{op}_int64", op, [integers(-5, 5, 3, 4)], compute, {"axes": 1}, wide=True)
    for op, compute in [("any", torch.any), ("all", torch.all)]:
        for name, axes in AXES.items():
            attributes = {} if axes is None else {"axes": axes}
            cases.add(f"{op}_{name}", op, [booleans(3, 2, 2)], over(each(compute), axes, False, 3), attributes)
        cases.add(f"{op}_keep", op, [booleans(3, 2)], over(each(compute), 1, True, 2), {"axes": 1, "keepDims": True})


def first(function, axis, keep):
    """The first of equal values, which PyTorch does not promise."""
    return lambda x: torch.from_numpy(np.asarray(function(x.detach().numpy(), axis=axis, keepdims=keep)))


def positions(cases):
    for op, function in [("argmax", np.argmax), ("argmin", np.argmin)]:
        for axis in [0, 1, -1]:
            cases.add(f"{op}_axis_{axis}", op, [normal(3, 4, 5)], first(function, axis, False), {"axis": axis})
        cases.add(f"{op}_keep", op, [normal(3, 4)], first(function, 1, True), {"axis": 1, "keepDims": True})
        cases.add(f"{op}_ties", op, [values(1.0, 3.0, 3.0, 1.0)], first(function, 0, False), {"axis": 0})
        cases.add(f"{op}_int", op, [integers(0, 50, 3, 7)], first(function, -1, False), {"axis": -1})


def running_sum(x, axis, reverse, exclusive):
    y = x.flip(axis) if reverse else x
    y = y.cumsum(axis) - y if exclusive else y.cumsum(axis)
    return y.flip(axis) if reverse else y


def running(cases):
    for axis in [0, 1, -1]:
        for reverse in [False, True]:
            for exclusive in [False, True]:
                attributes = {"axis": axis, "reverse": reverse, "exclusive": exclusive}
                compute = lambda x, a=axis, r=reverse, e=exclusive: running_sum(x, a, r, e)
                cases.add(f"cumsum_{axis}_{int(reverse)}{int(exclusive)}", "cumsum", [normal(3, 4)], compute, attributes)
    cases.add("cumsum_int", "cumsum", [integers(-5, 5, 6)], lambda x: x.cumsum(0), {"axis": 0})
    cases.add("cumsum_empty", "cumsum", [np.zeros((0, 2))], lambda x: x.cumsum(0), {"axis": 0})


def sorting(cases):
    for axis in [0, 1, -1]:
        for largest in [True, False]:
            top = lambda x, a=axis, l=largest: tuple(torch.topk(x, 2, a, l))
            cases.add(f"topK_{axis}_{int(largest)}", "topK", [normal(3, 4, 5)], top, {"k": 2, "axis": axis, "largest": largest})
            order = lambda x, a=axis, d=largest: tuple(torch.sort(x, dim=a, descending=d, stable=True))
            cases.add(f"sort_{axis}_{int(largest)}", "sort", [normal(3, 4, 5)], order, {"axis": axis, "descending": largest})
    cases.add("topK_1", "topK", [normal(2, 6)], lambda x: tuple(torch.topk(x, 1, -1)), {"k": 1, "axis": -1, "largest": True})
    cases.add("topK_every", "topK", [normal(2, 6)], lambda x: tuple(torch.topk(x, 6, -1)), {"k": 6, "axis": -1, "largest": True})
    # Equal values keep their order, whichever the direction.
    tied = values(2.0, 1.0, 2.0, 1.0, 3.0)
    for descending in [False, True]:
        order = lambda x, d=descending: tuple(torch.sort(x, dim=0, descending=d, stable=True))
        cases.add(f"sort_ties_{int(descending)}", "sort", [tied], order, {"axis": 0, "descending": descending}, smooth=False)

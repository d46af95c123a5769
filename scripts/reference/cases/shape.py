"""Operations that move or repeat elements without changing them."""

import numpy as np
import torch

from store import booleans, integers, normal


def add_to(cases):
    slices(cases)
    pads(cases)
    views(cases)
    orders(cases)
    joins(cases)


def slices(cases):
    table = {
        "middle": ((6, 3), {"axis": 0, "start": 1, "end": 4}),
        "last_axis": ((3, 6), {"axis": -1, "start": 2, "end": 5}),
        "negative": ((3, 6), {"axis": 1, "start": -4, "end": -1}),
        "to_end": ((3, 6), {"axis": 1, "start": 2}),
        "from_start": ((3, 6), {"axis": 1, "end": 2}),
        "past_end": ((3, 6), {"axis": 1, "start": 4, "end": 99}),
        "step": ((3, 7), {"axis": 1, "start": 1, "end": 7, "step": 2}),
        "step_three": ((8, 2), {"axis": 0, "step": 3}),
        "nothing": ((3, 6), {"axis": 1, "start": 2, "end": 2}),
        "everything": ((3, 6), {"axis": 1, "start": 0, "end": 6}),
    }
    for name, (shape, o) in table.items():
        axis = o["axis"] % len(shape)
        index = (slice(None),) * axis + (slice(o.get("start"), o.get("end"), o.get("step")),)
        cases.add(f"slice_{name}", "slice", [normal(*shape)], lambda x, i=index: x[i], o)
    cases.add("slice_int", "slice", [integers(0, 9, 6)], lambda x: x[1:4], {"axis": 0, "start": 1, "end": 4})
    cases.add("slice_bool", "slice", [booleans(6)], lambda x: x[1:4], {"axis": 0, "start": 1, "end": 4})
    cases.add("slice_backwards", "slice", [normal(5)], lambda x: x.flip(0), {"axis": 0, "start": -1, "end": -6, "step": -1})
    cases.add("slice_backwards_step", "slice", [normal(7)], lambda x: x[[5, 3, 1]], {"axis": 0, "start": 5, "end": 0, "step": -2})


def padded(x, amounts, mode, value):
    """NumPy pads the positions, PyTorch gathers them: one definition with a gradient for all three modes."""
    if mode == "constant":
        flat = [n for pair in reversed(amounts) for n in pair]
        return torch.nn.functional.pad(x, flat, value=value)
    positions = np.arange(x.numel()).reshape(tuple(x.shape))
    chosen = np.pad(positions, amounts, mode=mode)
    return x.reshape(-1)[torch.from_numpy(chosen.reshape(-1))].reshape(chosen.shape)


def pads(cases):
    table = {
        "ends": ((3, 4), [[1, 2], [0, 3]]),
        "one_axis": ((2, 3, 4), [[0, 0], [0, 0], [2, 1]]),
        "vector": ((5,), [[2, 2]]),
        "image": ((1, 2, 4, 5), [[0, 0], [0, 0], [1, 2], [3, 1]]),
        "none": ((3, 2), [[0, 0], [0, 0]]),
    }
    for name, (shape, amounts) in table.items():
        for mode in ["constant", "reflect", "edge"]:
            compute = lambda x, a=amounts, m=mode: padded(x, a, m, 0.0)
            cases.add(f"pad_{mode}_{name}", "pad", [normal(*shape)], compute, {"amounts": amounts, "mode": mode})
    valued = {"amounts": [[1, 0], [2, 1]], "mode": "constant", "value": -1.5}
    cases.add("pad_value", "pad", [normal(2, 3)], lambda x: padded(x, [[1, 0], [2, 1]], "constant", -1.5), valued)
    infinite = {"amounts": [[0, 1]], "mode": "constant", "value": -1e30}
    cases.add("pad_far_value", "pad", [normal(3)], lambda x: padded(x, [[0, 1]], "constant", -1e30), infinite)
    cases.add("pad_default", "pad", [normal(2, 3)], lambda x: padded(x, [[1, 1], [0, 2]], "constant", 0.0), {"amounts": [[1, 1], [0, 2]]})
    cases.add("pad_empty", "pad", [np.zeros((0, 2))], lambda x: padded(x, [[1, 1], [0, 0]], "constant", 0.0), {"amounts": [[1, 1], [0, 0]]})


def views(cases):
    reshapes = {
        "flat": ((2, 3, 4), [24]),
        "inferred": ((2, 3, 4), [2, -1]),
        "more_axes": ((12,), [3, 2, 2]),
        "to_scalar": ((1, 1), []),
        "from_scalar": ((), [1, 1]),
        "empty": ((0, 3), [3, 0]),
    }
    for name, (shape, target) in reshapes.items():
        cases.add(f"reshape_{name}", "reshape", [normal(*shape)], lambda x, t=target: x.reshape(t), {"shape": target})
    cases.add("reshape_bool", "reshape", [booleans(2, 3)], lambda x: x.reshape(6), {"shape": [6]})
    expands = {"rows": ((3,), [4, 3]), "columns": ((4, 1), [4, 3]), "scalar": ((), [2, 2]), "both": ((2, 1, 3, 1), [2, 4, 3, 2]), "same": ((2, 3), [2, 3]), "empty": ((1, 3), [0, 3])}
    for name, (shape, target) in expands.items():
        cases.add(f"expand_{name}", "expand", [normal(*shape)], lambda x, t=target: x.expand(t) * 1, {"shape": target})
    cases.add("expand_int", "expand", [integers(0, 9, 3)], lambda x: x.expand(2, 3), {"shape": [2, 3]})
    cases.add("squeeze_all", "squeeze", [normal(1, 3, 1, 2)], torch.squeeze)
    cases.add("squeeze_axis", "squeeze", [normal(1, 3, 1)], lambda x: x.squeeze(0), {"axis": 0})
    cases.add("squeeze_negative", "squeeze", [normal(1, 3, 1)], lambda x: x.squeeze(-1), {"axis": -1})
    for axis in [0, 1, 2, -1, -2]:
        cases.add(f"unsqueeze_{axis}", "unsqueeze", [normal(3, 4)], lambda x, a=axis: x.unsqueeze(a), {"axis": axis})
    cases.add("unsqueeze_scalar", "unsqueeze", [normal()], lambda x: x.unsqueeze(0), {"axis": 0})
    cases.add("flatten_all", "flatten", [normal(2, 3, 4)], torch.flatten)
    cases.add("flatten_from", "flatten", [normal(2, 3, 4)], lambda x: x.flatten(1), {"start": 1})
    cases.add("flatten_range", "flatten", [normal(2, 3, 4, 5)], lambda x: x.flatten(1, 2), {"start": 1, "end": 2})
    cases.add("flatten_negative", "flatten", [normal(2, 3, 4, 5)], lambda x: x.flatten(-3, -2), {"start": -3, "end": -2})


def orders(cases):
    transposes = {"default": ((3, 4), None), "default_rank3": ((2, 3, 4), None), "permuted": ((2, 3, 4), [1, 2, 0]), "heads": ((2, 3, 4, 5), [0, 2, 1, 3]), "negative": ((2, 3, 4), [0, -1, 1]), "vector": ((3,), None), "empty": ((0, 2), None)}
    for name, (shape, permutation) in transposes.items():
        order = permutation if permutation is not None else list(range(len(shape)))[::-1]
        attributes = {} if permutation is None else {"permutation": permutation}
        cases.add(f"transpose_{name}", "transpose", [normal(*shape)], lambda x, o=order: x.permute(o), attributes)
    cases.add("transpose_int", "transpose", [integers(0, 9, 2, 3)], lambda x: x.t(), {})
    cases.add("swapAxes", "swapAxes", [normal(2, 3, 4)], lambda x: x.transpose(0, 2), {"a": 0, "b": 2})
    cases.add("swapAxes_negative", "swapAxes", [normal(2, 3, 4)], lambda x: x.transpose(-1, -2), {"a": -1, "b": -2})
    cases.add("swapAxes_same", "swapAxes", [normal(2, 3)], lambda x: x * 1, {"a": 1, "b": 1})
    for name, axes in {"first": [0], "last": [-1], "both": [0, 1], "number": 1}.items():
        dims = [axes] if isinstance(axes, int) else axes
        cases.add(f"flip_{name}", "flip", [normal(3, 4)], lambda x, d=dims: x.flip(d), {"axes": axes})
    for name, (shift, axis) in {"right": (1, 0), "left": (-2, 1), "around": (7, 1), "none": (0, 0), "negative_axis": (1, -1)}.items():
        cases.add(f"roll_{name}", "roll", [normal(3, 4)], lambda x, s=shift, a=axis: x.roll(s, a), {"shift": shift, "axis": axis})


def joins(cases):
    concats = {"first": (0, [(2, 3), (1, 3), (4, 3)]), "last": (-1, [(2, 3), (2, 1)]), "one": (0, [(2, 3)]), "with_empty": (0, [(2, 3), (0, 3)]), "rank3": (1, [(2, 1, 3), (2, 2, 3)])}
    for name, (axis, shapes) in concats.items():
        cases.add(f"concat_{name}", "concat", [normal(*s) for s in shapes], lambda *x, a=axis: torch.cat(x, a), {"axis": axis})
    cases.add("concat_int", "concat", [integers(0, 9, 2), integers(0, 9, 3)], lambda *x: torch.cat(x), {"axis": 0})
    for axis in [0, 1, -1]:
        cases.add(f"stack_{axis}", "stack", [normal(2, 3), normal(2, 3), normal(2, 3)], lambda *x, a=axis: torch.stack(x, a), {"axis": axis})
    cases.add("stack_scalars", "stack", [normal(), normal()], lambda *x: torch.stack(x), {"axis": 0})
    splits = {"even": ((6, 2), 2, 0), "last_shorter": ((7, 2), 3, 0), "sizes": ((2, 6), [1, 3, 2], 1), "negative_axis": ((2, 6), 3, -1), "whole": ((2, 3), 3, 1)}
    for name, (shape, sizes, axis) in splits.items():
        cases.add(f"split_{name}", "split", [normal(*shape)], lambda x, s=sizes, a=axis: x.split(s, a), {"sizes": sizes, "axis": axis})

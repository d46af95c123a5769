"""Unary and binary element-wise operations, comparisons, logic, casts, and the operations that only change a gradient."""

import numpy as np
import torch
import torch.nn.functional as F

from store import booleans, integers, normal, uniform, values

ODD = (3, 5)
MOD = torch.remainder

UNARY = {
    # op: (function, random input)
    "neg": (torch.neg, normal(*ODD)),
    "abs": (torch.abs, normal(*ODD)),
    "sign": (torch.sign, normal(*ODD)),
    "exp": (torch.exp, normal(*ODD)),
    "log": (torch.log, uniform(0.1, 5, *ODD)),
    "sqrt": (torch.sqrt, uniform(0.1, 5, *ODD)),
    "rsqrt": (torch.rsqrt, uniform(0.1, 5, *ODD)),
    "reciprocal": (torch.reciprocal, uniform(0.3, 4, *ODD)),
    "square": (torch.square, normal(*ODD)),
    "tanh": (torch.tanh, normal(*ODD)),
    "erf": (torch.erf, normal(*ODD)),
    "sigmoid": (torch.sigmoid, normal(*ODD)),
    "softplus": (F.softplus, normal(*ODD)),
    "sin": (torch.sin, normal(*ODD, scale=3)),
    "cos": (torch.cos, normal(*ODD, scale=3)),
    "atan": (torch.atan, normal(*ODD, scale=3)),
    "round": (torch.round, normal(*ODD, scale=3)),
    "floor": (torch.floor, normal(*ODD, scale=3)),
    "ceil": (torch.ceil, normal(*ODD, scale=3)),
    "relu": (F.relu, normal(*ODD)),
    "silu": (F.silu, normal(*ODD)),
}

# Far from zero: where a formula that is right on paper overflows or cancels.
FAR = values(-100.0, -30.0, -15.0, -5.0, -0.001, 0.001, 5.0, 15.0, 30.0, 100.0)

BINARY = {
    "add": (torch.add, normal, normal),
    "sub": (torch.sub, normal, normal),
    "mul": (torch.mul, normal, normal),
    "div": (torch.div, normal, lambda *s: uniform(0.5, 3, *s)),
    "pow": (torch.pow, lambda *s: uniform(0.3, 3, *s), normal),
    "maximum": (torch.maximum, normal, normal),
    "minimum": (torch.minimum, normal, normal),
    "mod": (MOD, lambda *s: normal(*s, scale=4), lambda *s: uniform(0.7, 2, *s)),
}

BROADCASTS = {
    "same": ((2, 3), (2, 3)),
    "row": ((4, 3), (3,)),
    "column": ((4, 3), (4, 1)),
    "both": ((2, 1, 3), (4, 1)),
    "tensor_scalar": ((2, 3), ()),
    "scalar_tensor": ((), (5,)),
    "scalars": ((), ()),
    "ones": ((1, 1), (3, 2)),
    "empty": ((0, 3), (1, 3)),
}

COMPARISONS = {
    "equal": torch.eq,
    "notEqual": torch.ne,
    "less": torch.lt,
    "lessEqual": torch.le,
    "greater": torch.gt,
    "greaterEqual": torch.ge,
}

LOGIC = {"and": torch.logical_and, "or": torch.logical_or, "xor": torch.logical_xor}


def add_to(cases):
    unary(cases)
    activations(cases)
    binary(cases)
    comparisons(cases)
    integer_arithmetic(cases)
    where(cases)
    casts(cases)
    gradient_only(cases)


def unary(cases):
    for op, (compute, inputs) in UNARY.items():
        cases.add(op, op, [inputs], compute)
    for op in ["exp", "sqrt", "tanh", "neg", "relu"]:
        compute = UNARY[op][0]
        cases.add(f"{op}_scalar", op, [values(0.7, shape=())], compute)
        cases.add(f"{op}_empty", op, [np.zeros((2, 0, 3))], compute)
        cases.add(f"{op}_rank5", op, [uniform(0.2, 2, 2, 1, 2, 3, 1)], compute)
    for op in ["sigmoid", "softplus", "tanh", "silu", "erf"]:
        cases.add(f"{op}_far", op, [FAR], UNARY[op][0])
    # Half to even, not away from zero.
    cases.add("round_halves", "round", [values(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5)], torch.round, smooth=False)
    for op in ["abs", "sign", "relu"]:
        cases.add(f"{op}_zero", op, [values(-1.0, 0.0, 2.0)], UNARY[op][0], smooth=False)
    special = values(1.0, np.nan, np.inf, -np.inf, 0.0)
    cases.add("isNaN", "isNaN", [special], torch.isnan)
    cases.add("isFinite", "isFinite", [special], torch.isfinite)
    cases.add("neg_int", "neg", [integers(-9, 9, 7)], torch.neg)
    cases.add("abs_int", "abs", [integers(-9, 9, 7)], torch.abs)


def activations(cases):
    for kind in ["none", "tanh"]:
        gelu = lambda x, kind=kind: F.gelu(x, approximate=kind)
        cases.add(f"gelu_{kind}", "gelu", [normal(*ODD)], gelu, {"approximate": kind})
        cases.add(f"gelu_{kind}_far", "gelu", [FAR / 4], gelu, {"approximate": kind})
    cases.add("gelu_default", "gelu", [normal(*ODD)], F.gelu)
    cases.add("clamp", "clamp", [normal(*ODD)], lambda x: x.clamp(-0.5, 0.8), {"min": -0.5, "max": 0.8})
    cases.add("clamp_min", "clamp", [normal(*ODD)], lambda x: x.clamp(min=-0.5), {"min": -0.5})
    cases.add("clamp_max", "clamp", [normal(*ODD)], lambda x: x.clamp(max=0.5), {"max": 0.5})
    # The gradient passes at the bounds themselves.
    at_bounds = values(-1.0, -0.5, 0.0, 0.5, 1.0)
    cases.add("clamp_at_bounds", "clamp", [at_bounds], lambda x: x.clamp(-0.5, 0.5), {"min": -0.5, "max": 0.5}, smooth=False)


def binary(cases):
    for op, (compute, left, right) in BINARY.items():
        for name, (a, b) in BROADCASTS.items():
            cases.add(f"{op}_{name}", op, [left(*a), right(*b)], compute)
    numbers = {"add": 1.5, "sub": 0.25, "mul": -2, "div": 4, "pow": 3, "maximum": 0.1, "minimum": 0.1, "mod": 1.5}
    for op, number in numbers.items():
        compute = BINARY[op][0]
        with_number = lambda x, f=compute, n=number: f(x, torch.tensor(n, dtype=torch.float64))
        cases.add(f"{op}_number", op, [normal(*ODD)], with_number, {"other": number})
    for exponent in [0, 1, 2, 0.5, -1, -2.5]:
        power = lambda x, p=exponent: x**p
        cases.add(f"pow_to_{exponent}", "pow", [uniform(0.3, 3, 4)], power, {"other": exponent})
    cases.add("pow_zero_base", "pow", [values(-2.0, 0.0, 3.0)], lambda x: x**2, {"other": 2})
    cases.add("pow_negative_base", "pow", [normal(*ODD)], lambda x: x**3, {"other": 3})
    # Python's sign: the result has the sign of the divisor.
    signs = [values(7.0, -7.0, 7.0, -7.0, 6.0), values(3.0, 3.0, -3.0, -3.0, 4.0)]
    cases.add("mod_signs", "mod", signs, MOD, smooth=False)
    ties = [values(1.0, 2.0, 3.0), values(1.0, 2.5, 3.0)]
    cases.add("maximum_ties", "maximum", ties, torch.maximum, smooth=False)
    cases.add("minimum_ties", "minimum", ties, torch.minimum, smooth=False)


def comparisons(cases):
    for op, compute in COMPARISONS.items():
        cases.add(f"{op}_float", op, [values(1.0, 2.0, 3.0, np.nan), values(1.0, 3.0, 2.0, np.nan)], compute)
        cases.add(f"{op}_int", op, [integers(0, 3, 4, 3), integers(0, 3, 3)], compute)
        cases.add(f"{op}_number", op, [values(0.0, 0.5, 1.0)], lambda x, f=compute: f(x, 0.5), {"other": 0.5})
    for op in ["equal", "notEqual"]:
        cases.add(f"{op}_bool", op, [booleans(6), booleans(6)], COMPARISONS[op])
    for op, compute in LOGIC.items():
        cases.add(op, op, [booleans(3, 4), booleans(4)], compute)
    cases.add("not", "not", [booleans(5)], torch.logical_not)


def integer_arithmetic(cases):
    for op in ["add", "sub", "mul", "maximum", "minimum"]:
        cases.add(f"{op}_int", op, [integers(-9, 9, 4, 3), integers(-9, 9, 3)], BINARY[op][0])
        cases.add(f"{op}_int64", op, [integers(-9, 9, 4, 3), integers(-9, 9, 3)], BINARY[op][0], wide=True)
    cases.add("mod_int", "mod", [integers(-20, 20, 12), integers(1, 7, 12)], MOD)
    cases.add("mod_int_negative", "mod", [integers(-20, 20, 12), integers(-7, -1, 12)], MOD)
    cases.add("add_int_number", "add", [integers(-9, 9, 5)], lambda x: x + 3, {"other": 3})


def where(cases):
    cases.add("where", "where", [booleans(3, 4), normal(3, 4), normal(3, 4)], torch.where)
    cases.add("where_broadcast", "where", [booleans(3, 1), normal(4), normal(2, 1, 1)], torch.where)
    cases.add("where_scalar_branches", "where", [booleans(3, 4), normal(), normal()], torch.where)
    cases.add("where_int", "where", [booleans(6), integers(0, 9, 6), integers(0, 9, 6)], torch.where)
    # The branch not taken is infinite; its gradient is zero all the same.
    cases.add("where_masks_infinity", "where", [values(True, False), values(1.0, 2.0), values(np.inf, np.inf)], torch.where, smooth=False)


def casts(cases):
    to_int = lambda x: x.detach().to(torch.int64)
    cases.add("cast_float_int32", "cast", [values(-2.7, -0.5, 0.0, 0.5, 2.7)], to_int, {"dtype": "int32"})
    cases.add("cast_int32_float", "cast", [integers(-9, 9, 5)], lambda x: x.to(torch.float64), {"dtype": "float32"})
    cases.add("cast_bool_float", "cast", [booleans(5)], lambda x: x.to(torch.float64), {"dtype": "float32"})
    cases.add("cast_bool_int32", "cast", [booleans(5)], lambda x: x.to(torch.int64), {"dtype": "int32"})
    cases.add("cast_float_bool", "cast", [values(-1.0, 0.0, 0.5)], lambda x: x.detach() != 0, {"dtype": "bool"})
    cases.add("cast_int32_bool", "cast", [values(-1, 0, 2)], lambda x: x != 0, {"dtype": "bool"})
    cases.add("cast_int64_float", "cast", [integers(-9, 9, 5)], lambda x: x.to(torch.float64), {"dtype": "float32"}, wide=True)
    cases.add("cast_same", "cast", [normal(4)], lambda x: x * 1, {"dtype": "float32"})


def gradient_only(cases):
    cases.add("stopGradient", "stopGradient", [normal(4)], lambda x: x.detach() + 0 * x, smooth=False)
    # Value of the first, gradient of the second.
    through = lambda value, path: value.detach() + path - path.detach()
    cases.add("straightThrough", "straightThrough", [normal(4), normal(4)], through, smooth=False)

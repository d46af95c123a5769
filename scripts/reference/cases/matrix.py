"""Matrix products, einsum, triangles, and the constants that need no input."""

import numpy as np
import torch

from store import booleans, integers, normal, values

MATMULS = {
    "square": ((4, 4), (4, 4)),
    "odd": ((3, 7), (7, 5)),
    "row": ((1, 6), (6, 5)),
    "column": ((5, 6), (6, 1)),
    "outer": ((4, 1), (1, 3)),
    "one": ((1, 1), (1, 1)),
    "batched": ((2, 3, 4), (2, 4, 5)),
    "batch_left": ((2, 3, 4), (4, 5)),
    "batch_right": ((3, 4), (2, 4, 5)),
    "batch_broadcast": ((2, 1, 3, 4), (3, 4, 2)),
    "batch_both": ((1, 3, 2, 4), (2, 1, 4, 3)),
    "heads": ((2, 4, 5, 3), (2, 4, 3, 5)),
    "vector_vector": ((5,), (5,)),
    "vector_matrix": ((4,), (4, 3)),
    "matrix_vector": ((3, 4), (4,)),
    "batch_vector": ((2, 3, 4), (4,)),
    "vector_batch": ((3,), (2, 3, 4)),
    "wide": ((33, 65), (65, 17)),
    "empty_rows": ((0, 4), (4, 3)),
    "empty_columns": ((3, 4), (4, 0)),
    "empty_inner": ((3, 0), (0, 2)),
    "empty_batch": ((0, 2, 3), (3, 4)),
}

EINSUMS = {
    "matmul": ("ij,jk->ik", (3, 4), (4, 5)),
    "batched": ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    "transposed_right": ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)),
    "transposed_left": ("bji,bjk->bik", (2, 4, 3), (2, 4, 5)),
    "transposed_output": ("ij,jk->ki", (3, 4), (4, 5)),
    "attention": ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    "attention_values": ("bhqk,bkhd->bqhd", (2, 4, 3, 6), (2, 6, 4, 5)),
    "inner": ("i,i->", (6,), (6,)),
    "outer": ("i,j->ij", (3,), (4,)),
    "hadamard": ("ij,ij->ij", (3, 4), (3, 4)),
    "row_weight": ("ij,j->ij", (3, 4), (4,)),
    "row_dot": ("ij,ij->i", (3, 4), (3, 4)),
    "matrix_vector": ("ij,j->i", (3, 4), (4,)),
    "frobenius": ("ij,ij->", (3, 4), (3, 4)),
    "two_contracted": ("abcd,cde->abe", (2, 3, 4, 2), (4, 2, 5)),
    "summed_left": ("ij,k->k", (3, 4), (5,)),
    "low_rank": ("bi,io,ro->br", (2, 3), (3, 4), (5, 4)),
    "bilinear": ("bi,oij,bj->bo", (2, 3), (4, 3, 5), (2, 5)),
    "transpose": ("ij->ji", (3, 4)),
    "sum_axis": ("ij->j", (3, 4)),
    "sum_all": ("ij->", (3, 4)),
    "permute": ("abc->cab", (2, 3, 4)),
    "implicit": ("ij,jk", (3, 4), (4, 5)),
}


def add_to(cases):
    for name, (a, b) in MATMULS.items():
        cases.add(f"matmul_{name}", "matmul", [normal(*a), normal(*b)], torch.matmul)
    cases.add("matmul_int", "matmul", [integers(-5, 5, 3, 4), integers(-5, 5, 4, 2)], torch.matmul)
    for name, (equation, *shapes) in EINSUMS.items():
        compute = lambda *x, e=equation: torch.einsum(e, *x)
        cases.add(f"einsum_{name}", "einsum", [normal(*s) for s in shapes], compute, {"equation": equation})
    for op, compute in [("tril", torch.tril), ("triu", torch.triu)]:
        for k in [-2, -1, 0, 1, 3]:
            cases.add(f"{op}_{k}", op, [normal(4, 5)], lambda x, f=compute, k=k: f(x, k), {"k": k})
        cases.add(f"{op}_batched", op, [normal(2, 3, 3)], compute, {"k": 0})
        cases.add(f"{op}_tall", op, [normal(5, 3)], compute, {})
        cases.add(f"{op}_int", op, [integers(-9, 9, 4, 4)], compute, {"k": 0})
        cases.add(f"{op}_bool", op, [booleans(4, 4)], compute, {"k": 0})
    constants(cases)


def constants(cases):
    f64 = torch.float64
    cases.add("zeros", "zeros", [], lambda: torch.zeros(2, 3, dtype=f64), {"shape": [2, 3]})
    cases.add("ones", "ones", [], lambda: torch.ones(2, 3, dtype=f64), {"shape": [2, 3]})
    cases.add("ones_scalar", "ones", [], lambda: torch.ones((), dtype=f64), {"shape": []})
    cases.add("ones_int", "ones", [], lambda: torch.ones(4, dtype=torch.int64), {"shape": [4], "dtype": "int32"})
    cases.add("full", "full", [], lambda: torch.full((3,), -2.5, dtype=f64), {"shape": [3], "value": -2.5})
    cases.add("full_empty", "full", [], lambda: torch.full((2, 0), 1.0, dtype=f64), {"shape": [2, 0], "value": 1})
    cases.add("full_bool", "full", [], lambda: torch.ones(2, dtype=torch.bool), {"shape": [2], "value": 1, "dtype": "bool"})
    cases.add("eye", "eye", [], lambda: torch.eye(4, dtype=f64), {"n": 4})
    cases.add("arange", "arange", [], lambda: torch.arange(5), {"start": 5})
    cases.add("arange_range", "arange", [], lambda: torch.arange(2, 9), {"start": 2, "stop": 9})
    cases.add("arange_step", "arange", [], lambda: torch.arange(1, 10, 3), {"start": 1, "stop": 10, "step": 3})
    cases.add("arange_down", "arange", [], lambda: torch.arange(5, 0, -2), {"start": 5, "stop": 0, "step": -2})
    cases.add("arange_float", "arange", [], lambda: torch.arange(0, 1, 0.25, dtype=f64), {"start": 0, "stop": 1, "step": 0.25, "dtype": "float32"})

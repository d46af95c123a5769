"""Reading and adding at given positions."""

import numpy as np
import torch
import torch.nn.functional as F

from store import integers, normal, values


def whole_slices(x, indices, axis):
    axis = axis % x.dim()
    taken = x.index_select(axis, indices.reshape(-1))
    return taken.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def add_to(cases):
    gathers(cases)
    along_axis(cases)
    classes(cases)
    places(cases)


def gathers(cases):
    table = {
        "rows": ((5, 3), (4,), 0),
        "columns": ((3, 5), (4,), 1),
        "negative_axis": ((3, 5), (2,), -1),
        "matrix": ((5, 3), (2, 4), 0),
        "matrix_last": ((3, 5), (2, 2), 1),
        "scalar": ((5, 3), (), 0),
        "vector": ((6,), (3,), 0),
        "rank3_middle": ((2, 4, 3), (5,), 1),
        "empty": ((5, 3), (0,), 0),
    }
    for name, (shape, index, axis) in table.items():
        compute = lambda x, i, a=axis: whole_slices(x, i, a)
        cases.add(f"gather_{name}", "gather", [normal(*shape), integers(0, shape[axis], *index)], compute, {"axis": axis})
    repeated = [normal(4, 2), values(1, 1, 3, 1, 0)]
    cases.add("gather_repeated", "gather", repeated, lambda x, i: whole_slices(x, i, 0), {"axis": 0})
    cases.add("gather_int", "gather", [integers(0, 9, 5), integers(0, 5, 3)], lambda x, i: x[i], {"axis": 0})
    cases.add("gather_int64", "gather", [normal(5, 2), integers(0, 5, 3)], lambda x, i: x[i], {"axis": 0}, wide=True)


def along_axis(cases):
    table = {
        "last": ((3, 5), (3, 2), 1),
        "first": ((5, 3), (2, 3), 0),
        "negative_axis": ((3, 5), (3, 4), -1),
        "longer": ((2, 3), (2, 7), 1),
        "rank3": ((2, 4, 3), (2, 5, 3), 1),
        "vector": ((6,), (4,), 0),
    }
    for name, (shape, index, axis) in table.items():
        indices = integers(0, shape[axis], *index)
        take = lambda x, i, a=axis: torch.gather(x, a, i)
        cases.add(f"takeAlongAxis_{name}", "takeAlongAxis", [normal(*shape), indices], take, {"axis": axis})
        scatter = lambda x, i, u, a=axis: x.scatter_add(a, i, u)
        cases.add(f"scatterAdd_{name}", "scatterAdd", [normal(*shape), indices, normal(*index)], scatter, {"axis": axis})
    repeated = [normal(4), values(1, 1, 1, 3), normal(4)]
    cases.add("scatterAdd_repeated", "scatterAdd", repeated, lambda x, i, u: x.scatter_add(0, i, u), {"axis": 0})


def classes(cases):
    one_hot = lambda i, n: F.one_hot(i, n).to(torch.float64)
    cases.add("oneHot_vector", "oneHot", [integers(0, 4, 6)], lambda i: one_hot(i, 4), {"classes": 4})
    cases.add("oneHot_matrix", "oneHot", [integers(0, 5, 2, 3)], lambda i: one_hot(i, 5), {"classes": 5})
    cases.add("oneHot_scalar", "oneHot", [values(2, shape=())], lambda i: one_hot(i, 3), {"classes": 3})
    embed = lambda w, i: F.embedding(i, w)
    cases.add("embedding", "embedding", [normal(7, 4), integers(0, 7, 2, 5)], embed)
    cases.add("embedding_vector", "embedding", [normal(7, 4), integers(0, 7, 3)], embed)
    cases.add("embedding_repeated", "embedding", [normal(3, 2), values(2, 2, 2, 0)], embed)
    cases.add("embedding_int64", "embedding", [normal(7, 4), integers(0, 7, 3)], embed, wide=True)


def places(cases):
    put = lambda x, i, u: x.index_put(tuple(i.unbind(-1)), u)
    table = {
        "rows": ((5, 3), (3, 0, 4), (3, 1)),
        "entries": ((3, 4), (0, 1, 2, 3, 1, 0), (3, 2)),
        "rank4": ((2, 2, 5, 3), (0, 0, 1, 0, 1, 1, 1, 0, 4, 1, 1, 3), (2, 2, 3)),
        "vector": ((6,), (5, 2), (2, 1)),
    }
    for name, (shape, index, form) in table.items():
        rows = normal(*form[:-1], *shape[form[-1] :])
        cases.add(f"indexPut_{name}", "indexPut", [normal(*shape), values(*index, shape=form), rows], put)

"""Convolutions and their transposes in one and two dimensions."""

import numpy as np
import torch.nn.functional as F

from store import normal

# name: (input, weight, options)
CONV1D = {
    "plain": ((2, 3, 9), (4, 3, 3), {}),
    "padded": ((2, 3, 9), (4, 3, 3), {"padding": 1}),
    "strided": ((2, 3, 10), (4, 3, 3), {"stride": 2, "padding": 1}),
    "stride_drops_end": ((1, 2, 10), (3, 2, 3), {"stride": 3}),
    "dilated": ((2, 3, 11), (4, 3, 3), {"dilation": 2, "padding": 2}),
    "grouped": ((2, 4, 8), (6, 2, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 5, 8), (5, 1, 4), {"groups": 5, "padding": 3}),
    "depthwise_double": ((2, 3, 8), (6, 1, 3), {"groups": 3}),
    "pointwise": ((2, 3, 7), (4, 3, 1), {}),
    "even_kernel": ((2, 3, 8), (4, 3, 4), {"padding": 2, "stride": 2}),
    "kernel_is_input": ((2, 3, 5), (4, 3, 5), {}),
    "batch_one": ((1, 1, 6), (1, 1, 3), {}),
    "few_places": ((2, 3, 4), (16, 3, 3), {"padding": 1, "stride": 2}),
    "everything": ((2, 4, 13), (6, 2, 3), {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}),
}

CONV2D = {
    "plain": ((2, 3, 6, 7), (4, 3, 3, 3), {}),
    "padded": ((2, 3, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    "strided": ((2, 3, 8, 7), (4, 3, 3, 3), {"stride": 2, "padding": 1}),
    "strided_even": ((2, 3, 8, 8), (4, 3, 3, 3), {"stride": 2, "padding": 1}),
    "stride_drops_end": ((1, 2, 9, 8), (3, 2, 2, 2), {"stride": 3}),
    "patches": ((2, 3, 8, 8), (5, 3, 4, 4), {"stride": 4}),
    "pointwise": ((2, 3, 4, 5), (6, 3, 1, 1), {}),
    "pointwise_strided": ((2, 3, 5, 6), (4, 3, 1, 1), {"stride": 2}),
    "per_axis": ((2, 3, 7, 9), (4, 3, 3, 2), {"stride": [1, 2], "padding": [2, 0], "dilation": [2, 1]}),
    "dilated": ((1, 3, 9, 9), (2, 3, 3, 3), {"dilation": 2, "padding": 2}),
    "grouped": ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    "grouped_strided": ((2, 4, 7, 6), (4, 2, 3, 3), {"groups": 2, "stride": 2, "padding": 1}),
    "depthwise": ((2, 4, 6, 6), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    "depthwise_double": ((2, 3, 6, 5), (6, 1, 3, 3), {"groups": 3}),
    "depthwise_strided": ((2, 4, 7, 7), (4, 1, 3, 3), {"groups": 4, "stride": 2, "padding": 1}),
    "kernel_is_input": ((2, 3, 4, 4), (5, 3, 4, 4), {}),
    "wide_padding": ((1, 2, 3, 3), (2, 2, 3, 3), {"padding": 3}),
    "flat_kernel": ((2, 3, 5, 6), (4, 3, 1, 5), {"padding": [0, 2]}),
    "batch_one": ((1, 1, 5, 5), (1, 1, 3, 3), {}),
    "few_places": ((2, 3, 2, 3), (24, 3, 3, 2), {"padding": 1, "stride": [1, 2]}),
    "few_places_dilated": ((3, 2, 3, 2), (24, 2, 2, 2), {"padding": [1, 0], "dilation": [2, 1]}),
    "one_place": ((3, 4, 1, 1), (5, 4, 3, 3), {"padding": 1}),
    "everything": ((2, 4, 11, 10), (6, 2, 3, 3), {"stride": [2, 3], "padding": [2, 1], "dilation": [2, 1], "groups": 2}),
}

TRANSPOSE1D = {
    "plain": ((2, 3, 5), (3, 4, 3), {}),
    "padded": ((2, 3, 6), (3, 4, 3), {"padding": 1}),
    "strided": ((2, 3, 5), (3, 4, 4), {"stride": 2, "padding": 1}),
    "output_padding": ((2, 3, 5), (3, 4, 3), {"stride": 2, "padding": 1, "outputPadding": 1}),
    "dilated": ((2, 3, 5), (3, 4, 3), {"dilation": 2}),
    "grouped": ((2, 4, 5), (4, 3, 3), {"groups": 2, "stride": 2}),
    "stride_over_kernel": ((1, 2, 4), (2, 3, 2), {"stride": 3, "outputPadding": 2}),
}

TRANSPOSE2D = {
    "plain": ((2, 3, 4, 5), (3, 4, 3, 3), {}),
    "padded": ((2, 3, 4, 5), (3, 4, 3, 3), {"padding": 1}),
    "strided": ((2, 3, 4, 4), (3, 4, 4, 4), {"stride": 2, "padding": 1}),
    "output_padding": ((2, 3, 4, 3), (3, 4, 3, 3), {"stride": 2, "padding": 1, "outputPadding": 1}),
    "per_axis": ((2, 3, 4, 3), (3, 4, 3, 2), {"stride": [2, 3], "padding": [1, 0], "outputPadding": [1, 2]}),
    "dilated": ((1, 3, 4, 4), (3, 2, 3, 3), {"dilation": 2, "padding": 1}),
    "grouped": ((2, 4, 4, 4), (4, 3, 3, 3), {"groups": 2, "stride": 2, "padding": 1}),
    "depthwise": ((2, 4, 4, 4), (4, 1, 3, 3), {"groups": 4}),
    "pointwise": ((2, 3, 4, 5), (3, 4, 1, 1), {}),
}

RENAMED = {"outputPadding": "output_padding"}


def add_to(cases):
    for op, function, table in [
        ("conv1d", F.conv1d, CONV1D),
        ("conv2d", F.conv2d, CONV2D),
        ("convTranspose1d", F.conv_transpose1d, TRANSPOSE1D),
        ("convTranspose2d", F.conv_transpose2d, TRANSPOSE2D),
    ]:
        for name, (x, weight, options) in table.items():
            arguments = {RENAMED.get(key, key): value for key, value in options.items()}
            compute = lambda x, w, f=function, a=arguments: f(x, w, **a)
            cases.add(f"{op}_{name}", op, [normal(*x), normal(*weight)], compute, options)

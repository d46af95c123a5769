"""Maximum and average pooling, with windows of a given size and with a given output size."""

import torch.nn.functional as F

from store import normal, values

WINDOWS1D = {
    "plain": ((2, 3, 8), {"kernel": 2, "stride": 2}),
    "overlapping": ((2, 3, 9), {"kernel": 3, "stride": 1}),
    "padded": ((2, 3, 9), {"kernel": 3, "stride": 2, "padding": 1}),
    "drops_end": ((2, 3, 10), {"kernel": 3, "stride": 3}),
    "gaps": ((2, 3, 11), {"kernel": 2, "stride": 3}),
}

WINDOWS2D = {
    "plain": ((2, 3, 6, 8), {"kernel": 2, "stride": 2}),
    "overlapping": ((2, 3, 6, 7), {"kernel": 3, "stride": 1}),
    "padded": ((2, 3, 7, 8), {"kernel": 3, "stride": 2, "padding": 1}),
    "drops_end": ((2, 3, 7, 8), {"kernel": 3, "stride": 3}),
    "per_axis": ((2, 3, 7, 9), {"kernel": [2, 3], "stride": [1, 2], "padding": [0, 1]}),
    "gaps": ((1, 2, 8, 8), {"kernel": 2, "stride": 3}),
    "whole": ((2, 3, 4, 5), {"kernel": [4, 5], "stride": 1}),
}

# Sizes that do not divide: windows of different lengths that overlap.
ADAPTIVE1D = {"divides": ((2, 3, 8), 4), "uneven": ((2, 3, 7), 3), "one": ((2, 3, 5), 1), "same": ((1, 2, 4), 4), "grows": ((1, 2, 3), 5)}
ADAPTIVE2D = {
    "divides": ((2, 3, 6, 8), [3, 4]),
    "uneven": ((2, 3, 7, 5), [3, 2]),
    "one": ((2, 3, 4, 5), [1, 1]),
    "mixed": ((1, 2, 6, 7), [2, 7]),
    "grows": ((1, 2, 3, 4), [5, 6]),
}

MAXIMUM = {"1d": F.max_pool1d, "2d": F.max_pool2d}
AVERAGE = {"1d": F.avg_pool1d, "2d": F.avg_pool2d}
ADAPTIVE_MAXIMUM = {"1d": F.adaptive_max_pool1d, "2d": F.adaptive_max_pool2d}
ADAPTIVE_AVERAGE = {"1d": F.adaptive_avg_pool1d, "2d": F.adaptive_avg_pool2d}


def add_to(cases):
    for rank, windows in [("1d", WINDOWS1D), ("2d", WINDOWS2D)]:
        for name, (shape, options) in windows.items():
            maximum(cases, rank, name, shape, options)
            average(cases, rank, name, shape, options)
    for rank, sizes in [("1d", ADAPTIVE1D), ("2d", ADAPTIVE2D)]:
        for name, (shape, size) in sizes.items():
            mean = lambda x, f=ADAPTIVE_AVERAGE[rank], s=size: f(x, s)
            cases.add(f"adaptiveAveragePool{rank}_{name}", f"adaptiveAveragePool{rank}", [normal(*shape)], mean, {"outputSize": size})
            top = lambda x, f=ADAPTIVE_MAXIMUM[rank], s=size: f(x, s)
            cases.add(f"adaptiveMaxPool{rank}_{name}", f"adaptiveMaxPool{rank}", [normal(*shape)], top, {"outputSize": size})
    # All negative: padding must not win.
    negative = lambda rng: -1 - rng.random((1, 2, 4, 4))
    padded = {"kernel": 3, "stride": 2, "padding": 1}
    cases.add("maxPool2d_negative", "maxPool2d", [negative], lambda x: F.max_pool2d(x, 3, 2, 1), padded)


def maximum(cases, rank, name, shape, options):
    compute = lambda x: MAXIMUM[rank](x, options["kernel"], options["stride"], options.get("padding", 0))
    cases.add(f"maxPool{rank}_{name}", f"maxPool{rank}", [normal(*shape)], compute, options)


def average(cases, rank, name, shape, options):
    for count in [True, False] if "padding" in options else [True]:
        compute = lambda x: AVERAGE[rank](x, options["kernel"], options["stride"], options.get("padding", 0), count_include_pad=count)
        label = f"averagePool{rank}_{name}" + ("" if count else "_inside")
        cases.add(label, f"averagePool{rank}", [normal(*shape)], compute, {**options, "countIncludePad": count})

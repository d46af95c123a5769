"""Resizing of images: nearest, bilinear and bicubic (a = -0.75), both conventions for the corners."""

import torch.nn.functional as F

from store import normal

SIZES = {
    "double": ((1, 2, 3, 4), [6, 8]),
    "half": ((1, 2, 6, 8), [3, 4]),
    "up_uneven": ((2, 1, 3, 4), [5, 7]),
    "down_uneven": ((1, 2, 7, 5), [3, 4]),
    "mixed": ((1, 1, 4, 6), [7, 3]),
    "same": ((1, 2, 3, 4), [3, 4]),
    "to_one": ((1, 2, 4, 5), [1, 1]),
    "from_one": ((1, 2, 1, 1), [3, 2]),
    "triple": ((1, 1, 2, 3), [6, 9]),
}


def add_to(cases):
    for name, (shape, size) in SIZES.items():
        nearest = lambda x, s=size: F.interpolate(x, size=s, mode="nearest")
        cases.add(f"nearest_{name}", "resize", [normal(*shape)], nearest, {"size": size, "mode": "nearest"})
        for mode in ["bilinear", "bicubic"]:
            for align in [False, True]:
                compute = lambda x, s=size, m=mode, a=align: F.interpolate(x, size=s, mode=m, align_corners=a)
                label = f"{mode}_{name}" + ("_corners" if align else "")
                cases.add(label, "resize", [normal(*shape)], compute, {"size": size, "mode": mode, "alignCorners": align})

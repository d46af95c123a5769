"""Cross-entropy over the last axis: labels of any rank, ignored labels, label smoothing, the three reductions."""

import numpy as np
import torch
import torch.nn.functional as F

from store import integers, normal, values


def cross_entropy(logits, labels, ignoreIndex=-100, labelSmoothing=0.0, reduction="mean"):
    flat = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        labels.reshape(-1).long(),
        ignore_index=ignoreIndex,
        label_smoothing=labelSmoothing,
        reduction=reduction,
    )
    return flat.reshape(labels.shape) if reduction == "none" else flat


def add_to(cases):
    logits = {"rows": ((6, 5), (6,)), "sequence": ((2, 4, 7), (2, 4)), "one_row": ((1, 3), (1,)), "vector": ((5,), ())}
    for name, (shape, labels) in logits.items():
        for reduction in ["mean", "sum", "none"]:
            for smoothing in [0, 0.1]:
                options = {"reduction": reduction, **({"labelSmoothing": smoothing} if smoothing else {})}
                compute = lambda x, y, o=options: cross_entropy(x, y, **o)
                label = f"{name}_{reduction}" + ("_smoothed" if smoothing else "")
                cases.add(label, "crossEntropy", [normal(*shape, scale=2), integers(0, shape[-1], *labels)], compute, options)
    ignoring(cases)
    cases.add("default", "crossEntropy", [normal(4, 5), integers(0, 5, 4)], cross_entropy)
    cases.add("int64", "crossEntropy", [normal(4, 5), integers(0, 5, 4)], cross_entropy, wide=True)
    far = values(1000.0, 0.0, -1000.0, 0.0, 500.0, 501.0, shape=(2, 3))
    cases.add("far", "crossEntropy", [far, values(0, 1)], cross_entropy)
    cases.add("far_wrong", "crossEntropy", [far, values(2, 0)], cross_entropy)


def ignoring(cases):
    some = values(1, -100, 3, -100, 0, 2)
    zero = values(0, 1, 0, 3, 0, 2)
    for reduction in ["mean", "sum", "none"]:
        for smoothing in [0, 0.2]:
            for name, labels, index in [("minus_100", some, -100), ("zero", zero, 0)]:
                options = {"ignoreIndex": index, "reduction": reduction, **({"labelSmoothing": smoothing} if smoothing else {})}
                compute = lambda x, y, o=options: cross_entropy(x, y, **o)
                label = f"ignore_{name}_{reduction}" + ("_smoothed" if smoothing else "")
                cases.add(label, "crossEntropy", [normal(6, 4), labels], compute, options)

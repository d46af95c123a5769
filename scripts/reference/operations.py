#!/usr/bin/env python3
"""Reference numbers for every operation, from PyTorch: writes test/golden/operations/<family>.safetensors.

Run:  python3 scripts/reference/operations.py      (PyTorch 1.13 or later, NumPy; a few seconds)

The cases are in scripts/reference/cases, one file per family; the layout of a case is described in store.py.
"""

from pathlib import Path

import torch

from cases import convolution, elementwise, indexing, loss, matrix, normalization, pooling, reduction, resize, shape
from store import Cases

FAMILIES = [elementwise, reduction, matrix, convolution, pooling, resize, shape, indexing, normalization, loss]


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder = Path(__file__).resolve().parents[2] / "test" / "golden" / "operations"
    folder.mkdir(parents=True, exist_ok=True)
    totals = []
    for family in FAMILIES:
        cases = Cases(family.__name__.split(".")[-1])
        family.add_to(cases)
        totals.append(cases.write(folder))
    print(f"total: {sum(n for n, _ in totals)} cases, {sum(b for _, b in totals)} bytes")


if __name__ == "__main__":
    main()

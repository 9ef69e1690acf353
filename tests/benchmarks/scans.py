"""Scans to time: the sizes of real use, in random order and in the orders that instruments write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """n patches of N x N pixels, of which the central M x M are stitched, at positions within ± span px."""

    n: int
    patch_size: int
    crop_size: int
    span: int

    def __str__(self) -> str:
        return f"{self.n}-{self.patch_size}-{self.crop_size}-{self.span}"


CASES = [
    Case(1_000, 64, 64, 150),
    Case(10_304, 64, 20, 84),
    Case(10_304, 64, 32, 500),
    Case(20_000, 128, 64, 1000),
]
ORDERS = ["random", "raster", "spiral"]


def patches_of(case: Case) -> np.ndarray:
    """Return (n, N, N) complex64 noise."""
    rng = np.random.default_rng(1)
    shape = (case.n, case.patch_size, 2 * case.patch_size)
    return rng.standard_normal(shape, dtype=np.float32).view(np.complex64)


def positions_of(case: Case, order: str) -> np.ndarray:
    """Return (n, 2) float64 (y, x) positions; raster and spiral are jittered by ± 0.4 px."""
    rng = np.random.default_rng(2)
    if order == "random":
        return rng.uniform(-case.span, case.span, (case.n, 2))
    if order == "raster":
        side = int(np.ceil(np.sqrt(case.n)))
        index = np.arange(case.n)
        exact = np.stack([index // side, index % side], axis=1) * (2 * case.span / side) - case.span
    else:
        radius = case.span * np.sqrt(np.arange(case.n) / case.n)
        angle = np.arange(case.n) * np.pi * (3 - np.sqrt(5))
        # A Fermat spiral walked along its arms: neighbours in time are neighbours in space.
        order_along = np.argsort(radius.round(-1) * 1e6 + angle % (2 * np.pi), kind="stable")
        exact = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)[order_along]
    return exact + rng.uniform(-0.4, 0.4, (case.n, 2))

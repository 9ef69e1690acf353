"""Unrelated images, which registration has to refuse, and matching ones, which it has to find: how many of each.

    .venv/bin/python scripts/registration_cases.py                 # the tables of docs/metrics.md, about 15 minutes
    .venv/bin/python scripts/registration_cases.py --pairs 20 --only unrelated

All images are made from seeds. Unrelated pairs are of one family (stars with different numbers of spokes), or of two
(``mixed``), or an object and noise of its own spectrum (``own spectrum``); images of the demo's networks are held
against the truth of another object. Matching pairs are cut from one object with a known shift and a phase ramp between
them, under noise; and the networks' images are held against the truth of their own object. Counted are pairs that are
accepted (and where the right shift is known, found to a pixel) with all shifts allowed, and those of them within the
8 px that `compare-models` allows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from ptycho.comparison.settings import MAX_RESIDUAL_PX
from ptycho.data import SimulationSettings, random_lines, simulate
from ptycho.demo import model_folder
from ptycho.image import PlacedImage, Rectangle, register
from ptycho.models import load_model
from ptycho.reconstruction import InferenceSettings, reconstruct

SIDES = (24, 32, 48, 72, 160)
SIGNAL_TO_NOISE = (4.0, 1.0)
NETWORK_SEEDS = (3, 4, 5, 6)

Maker = Callable[[int, np.random.Generator], np.ndarray]


def smooth(side: int, rng: np.random.Generator, *, blur_px: float = 3.0, strength: float = 2.0) -> np.ndarray:
    """Return blurred noise, weak in amplitude and `strength` radians strong in phase."""
    amplitude, phase = (ndimage.gaussian_filter(rng.standard_normal((side, side)), blur_px) for _ in range(2))
    amplitude, phase = (field / np.abs(field).max() for field in (amplitude, phase))
    return (0.8 + 0.2 * amplitude) * np.exp(1j * strength * phase)


def cells(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return cells about random points, each of its own thickness, with walls."""
    points = np.asarray(rng.uniform(-6, side + 6, (max(8, side * side // 75), 2)))
    rows, columns = np.mgrid[:side, :side]
    distances, nearest = KDTree(points).query(np.stack([rows.ravel(), columns.ravel()], axis=1), k=2)
    walls = np.exp(-((np.diff(distances, axis=1)[:, 0] / 1.5) ** 2))
    bodies = np.take(rng.uniform(0, 1, len(points)), np.asarray(nearest)[:, 0])
    thickness = ndimage.gaussian_filter((0.6 * bodies + 0.8 * walls).reshape(side, side), 0.8)
    return np.exp((-0.2 + 0.9j) * thickness)


def star(side: int, rng: np.random.Generator, *, n_spokes: int | None = None) -> np.ndarray:
    """Return a Siemens star of 8 to 36 spokes about a point near the middle."""
    n_spokes = int(rng.integers(8, 37)) if n_spokes is None else n_spokes
    centre = side / 2 + rng.uniform(-0.25, 0.25, 2) * side
    rows, columns = np.mgrid[:side, :side]
    angle = n_spokes * np.arctan2(rows - centre[0], columns - centre[1]) + rng.uniform(0, 2 * np.pi)
    return np.exp((-0.05 + 0.8j) * ndimage.gaussian_filter((np.cos(angle) > 0).astype(float), 1))


def lines(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the lines of `ptycho-simulate`, as dense as there."""
    return random_lines((side, side), rng=rng, n_lines=max(8, side // 5), blur_px=1.5).astype(complex)


def noise(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return white noise on a constant."""
    return 1 + 0.2 * (rng.standard_normal((side, side)) + 1j * rng.standard_normal((side, side)))


FAMILIES: dict[str, Maker] = {
    "smooth": smooth,
    "very smooth": lambda side, rng: smooth(side, rng, blur_px=7.0, strength=8.0),
    "cells": cells,
    "lines": lines,
    "noise": noise,
    "star": star,
}


def unrelated(family: str, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two images with nothing in common but what their family makes them have."""
    if family == "own spectrum":
        image = (cells, lines, smooth)[int(rng.integers(3))](side, rng)
        spectrum = np.abs(np.fft.fft2(image - image.mean()))
        return image.mean() + np.fft.ifft2(spectrum * np.exp(2j * np.pi * rng.random(image.shape))), image
    if family == "mixed":
        first, second = rng.choice(list(FAMILIES), 2, replace=False)
        return FAMILIES[first](side, rng), FAMILIES[second](side, rng)
    if family == "star":
        first, second = (int(number) for number in rng.choice(np.arange(8, 37), 2, replace=False))
        return star(side, rng, n_spokes=first), star(side, rng, n_spokes=second)
    return FAMILIES[family](side, rng), FAMILIES[family](side, rng)


def matching(
    family: str, side: int, rng: np.random.Generator, signal_to_noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image under noise and a ramp, the image itself elsewhere, and the shift that carries the first over."""
    image = FAMILIES[family](side + 12, rng)
    shift_yx = rng.integers(-4, 5, 2)
    rows, columns = (slice(6 + shift, 6 + shift + side) for shift in shift_yx)
    moving, reference = image[rows, columns], image[6 : 6 + side, 6 : 6 + side]
    spread = float(np.std(reference)) / (2 * signal_to_noise) ** 0.5
    moving = moving + spread * (rng.standard_normal(moving.shape) + 1j * rng.standard_normal(moving.shape))
    y, x = np.mgrid[:side, :side]
    slope_yx = rng.uniform(-0.1, 0.1, 2)
    return moving * np.exp(1j * (slope_yx[0] * y + slope_yx[1] * x + 1)), reference, shift_yx


@dataclass(frozen=True)
class Counts:
    """How many pairs of so many were accepted, and what the strangest of them had."""

    pairs: int
    everywhere: int
    nearby: int
    correlations: tuple[float, float]
    independent_px: float

    def row(self, *names: object) -> str:
        """Return a row of a table in Markdown."""
        low, high = self.correlations
        figures = (
            f"{self.everywhere}",
            f"{self.nearby}",
            f"{low:.2f} … {high:.2f}",
            f"{self.independent_px:.0f}",
        )
        return f"| {' | '.join(map(str, (*names, self.pairs, *figures)))} |"


def count(pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]]) -> Counts:
    """Register pairs of a moving image, a reference, the former's mask and the right shift, if they are known."""
    found = []
    for moving, reference, mask, shift_yx in pairs:
        one = register(moving, reference, mask=mask, max_shift_px=float("inf"), suggest=False)
        right = shift_yx is None or np.hypot(*(np.array(one.offset_yx) - shift_yx)) < 1
        near = np.hypot(*one.offset_yx) <= MAX_RESIDUAL_PX
        found.append(
            (one.plausible and right, one.plausible and right and near, one.correlation, one.independent_px)
        )
    accepted, nearby, correlations, independent = np.array(found, dtype=float).T
    spread = float(correlations.min()), float(correlations.max())
    return Counts(len(found), int(accepted.sum()), int(nearby.sum()), spread, float(np.median(independent)))


def print_head(*names: str) -> None:
    """Print the head of a table."""
    columns = (*names, "side / px", "pairs", "accepted", "within 8 px", "correlation", "independent px")
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(names)}{'---:|' * 4}---|---:|", flush=True)


def print_unrelated(n_pairs: int) -> None:
    """Print how many unrelated pairs are accepted."""
    print_head("unrelated images")
    for family in (*FAMILIES, "own spectrum", "mixed"):
        for side in SIDES:
            rngs = (np.random.default_rng([side, seed]) for seed in range(n_pairs))
            pairs = ((*unrelated(family, side, rng), None, None) for rng in rngs)
            print(count(pairs).row(family, side), flush=True)


def print_matching(n_pairs: int) -> None:
    """Print how many matching pairs are found."""
    print_head("matching images", "signal to noise")
    for family in FAMILIES:
        for ratio in SIGNAL_TO_NOISE:
            for side in SIDES:
                rngs = (np.random.default_rng([side, seed, 1]) for seed in range(n_pairs))
                made = (matching(family, side, rng, ratio) for rng in rngs)
                pairs = ((moving, reference, None, shift_yx) for moving, reference, shift_yx in made)
                print(count(pairs).row(family, f"{ratio:g}", side), flush=True)


def print_networks() -> None:
    """Print how many images of the demo's networks are found on the truth of theirs, and of other objects."""
    truths, images = {}, {}
    for seed in NETWORK_SEEDS:
        scan = simulate(SimulationSettings(object_shape_yx=(200, 200), step_px=7.0, seed=seed))
        truths[seed] = scan.object_guess
        for kind in ("pinn", "baseline"):
            model = load_model(model_folder(kind))
            images[kind, seed] = reconstruct(model, scan, InferenceSettings(crop_size=20)).image
    print_head("network", "held against")
    for kind in ("pinn", "baseline"):
        for name in ("its own truth", "that of another object"):
            for side in (24, 48, 72, 128):
                pairs = _network_pairs(kind, name, side, truths, images)
                print(count(pairs).row(kind, name, side), flush=True)


def _network_pairs(
    kind: str, name: str, side: int, truths: dict[int, np.ndarray], images: dict[tuple[str, int], PlacedImage]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, None]]:
    start = 100 - side // 2
    window = Rectangle(start, start + side, start, start + side)
    for seed in NETWORK_SEEDS:
        placed = images[kind, seed].in_window(window)
        for other in NETWORK_SEEDS:
            if (seed == other) == (name == "its own truth"):
                yield placed.values, window.of(truths[other]), placed.covered, None


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--pairs", type=int, default=100, metavar="COUNT", help="pairs in each row (default 100)"
    )
    parser.add_argument(
        "--only", choices=("networks", "unrelated", "matching"), help="one table (default all)"
    )
    arguments = parser.parse_args()
    tables = {
        "networks": print_networks,
        "unrelated": lambda: print_unrelated(arguments.pairs),
        "matching": lambda: print_matching(max(1, arguments.pairs // 5)),
    }
    for name in tables if arguments.only is None else (arguments.only,):
        tables[name]()


if __name__ == "__main__":
    main()

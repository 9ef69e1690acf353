"""Measure what docs/how-to/orientation.md says, seeded: print its tables, in Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ptycho.cli._settings_as_flags import settings_as_flags
from ptycho.data import (
    ScanData,
    SimulationSettings,
    defocused_probe,
    random_lines,
    random_positions,
    raster_positions,
    read_scan,
    simulate,
    simulate_scan,
)
from ptycho.demo import demo_scan, model_folder
from ptycho.models import load_model
from ptycho.orientation import OrientationFindings, OrientationSettings, Turn, check_orientation

_HEADING = (
    "| scan | planted | verdict | remedy | error | next | sigmas | s |\n|---|---|---|---|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class GoodScan:
    """What a scan that is right is made of."""

    family: str
    probe: str
    path: str
    patch_size: int
    step_px: float
    photons: float

    @property
    def name(self) -> str:
        """Return its row's first words."""
        return (
            f"{self.family}, {self.probe} probe, {self.path}, N {self.patch_size}, step {self.step_px:g} px, "
            f"{self.photons:.0e} photons"
        )


GOOD_SCANS = (
    GoodScan("lines", "defocused", "raster", 64, 6, 1e5),
    GoodScan("lines", "defocused", "spiral", 64, 6, 1e4),
    GoodScan("lines", "lopsided", "random", 64, 6, 1e6),
    GoodScan("discs", "defocused", "raster", 64, 8, 1e5),
    GoodScan("discs", "ring", "spiral", 64, 5, 1e5),
    GoodScan("discs", "little defocused", "random", 64, 3, 1e5),
    GoodScan("phase grains", "defocused", "raster", 64, 5, 1e3),
    GoodScan("phase grains", "ring", "spiral", 128, 9, 1e6),
    GoodScan("lines", "lopsided", "raster", 128, 12, 1e5),
    GoodScan("discs", "focused", "random", 128, 3, 1e6),
)


def make(good: GoodScan, seed: int) -> ScanData:
    """Simulate a scan of about 200 frames."""
    rng = np.random.default_rng(seed)
    side = round(2 * good.patch_size + 14 * good.step_px)
    shape = (side, side + 7)
    if good.path == "raster":
        positions = raster_positions(shape, good.patch_size, step_px=good.step_px, jitter_px=0.5, rng=rng)
    elif good.path == "spiral":
        positions = spiral(shape, good.step_px, 200)
    else:
        positions = random_positions(shape, good.patch_size, n_positions=300, rng=rng)
    return simulate_scan(
        make_object(good.family, shape, rng),
        make_probe(good.probe, good.patch_size),
        positions,
        photons_per_frame=good.photons,
        rng=rng,
    )


def make_object(family: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return an object (H, W) complex64 of a family."""
    from scipy import ndimage

    if family == "lines":
        return random_lines(shape, n_lines=60, rng=rng)
    if family == "discs":
        thickness, (rows, columns) = np.zeros(shape), np.indices(shape)
        for _ in range(150):
            y, x, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(2, 9)
            thickness += np.clip(radius - np.hypot(rows - y, columns - x), 0, 1)
        return np.exp((-0.1 + 0.6j) * thickness).astype(np.complex64)
    grains = ndimage.gaussian_filter(rng.standard_normal(shape), 2.5)
    return np.exp(1j * grains / grains.std()).astype(np.complex64)


def make_probe(kind: str, side: int) -> np.ndarray:
    """Return a probe (N, N) complex64 of a kind."""
    from scipy import fft

    defocus = {"focused": 0.0, "little defocused": 3.0}.get(kind, 12.0)
    probe = defocused_probe(side, aperture=0.3 if kind == "focused" else 0.5, defocus=defocus)
    if kind not in ("ring", "lopsided"):
        return probe
    far = np.asarray(fft.fft2(fft.ifftshift(probe)))
    y, x = np.meshgrid(fft.fftfreq(side) * 4, fft.fftfreq(side) * 4, indexing="ij")
    stopped = np.hypot(y, x) < 0.4 if kind == "ring" else (y > 0.3) | (x < -0.5)
    return fft.fftshift(np.asarray(fft.ifft2(np.where(stopped, 0, far)))).astype(np.complex64)


def spiral(shape: tuple[int, int], step_px: float, n: int) -> np.ndarray:
    """Return n places (n, 2) of a sunflower's spiral about the middle, about `step_px` apart."""
    number = np.arange(n)
    radius, angle = 0.6 * step_px * np.sqrt(number), number * np.pi * (3 - np.sqrt(5))
    return np.array(shape) / 2 + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)


def row(name: str, planted: str, found: OrientationFindings) -> str:
    """Return a row of the table."""
    if not found.trials:
        return f"| {name} | {planted} | {found.verdict} | not tried: {found.why_not} | | | | {found.seconds:.1f} |"
    best = found.trials[0]
    flags = " ".join(
        part
        for turn, part in (
            (best.positions, best.positions.positions_settings(found.importing)),
            (best.frames, best.frames.frames_settings(found.importing)),
        )
        if turn.number
    )
    others = [trial.error for trial in found.trials if trial not in found.fitting]
    return (
        f"| {name} | {planted} | {found.verdict} | {settings_as_flags(flags) or '`none`'} | {best.error:.4f} | "
        f"{min(others, default=best.error):.4f} | {found.sigmas:.1f} | {found.seconds:.1f} |"
    )


def planted(scan: ScanData, name: str) -> Iterator[str]:
    """Yield the rows of a scan whose positions, then frames, were turned in each of the eight ways."""
    scan = replace(scan, object_guess=None)
    for number in range(8):
        turn = Turn(number)
        wrong = replace(scan, positions_yx=turn.inverse.of_positions(scan.positions_yx))
        yield row(name, f"positions {number}", check_orientation(wrong))
    for number in range(1, 8):
        inverse = Turn(number).inverse
        frames = np.stack([inverse.of_image(frame) for frame in scan.amplitude])
        yield row(name, f"frames {number}", check_orientation(replace(scan, amplitude=frames)))


def by_networks() -> Iterator[str]:
    """Yield the rows of the demo's scan whose positions were turned, by its two networks."""
    scan = replace(demo_scan(), object_guess=None)
    for kind in ("pinn", "baseline"):
        model = load_model(model_folder(kind))
        for number in range(8):
            turned_yx = Turn(number).inverse.of_positions(scan.positions_yx)
            found = check_orientation(replace(scan, positions_yx=turned_yx), model=model)
            yield row(f"demo, {kind}", f"positions {number}", found)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("planted", "good", "networks"))
    parser.add_argument("--star", type=Path, help="the Siemens star in tike's layout, for the planted turns")
    parser.add_argument("--seeds", type=int, default=1, help="of the good scans, so many of each kind")
    parser.add_argument("--frames-too", action="store_true", help="turn the frames of the good scans as well")
    arguments = parser.parse_args(argv)
    print(_HEADING)
    if arguments.table == "planted":
        rows = planted(simulate(SimulationSettings()), "simulated")
        for line in rows:
            print(line, flush=True)
        if arguments.star is not None:
            for line in planted(read_scan(arguments.star), "Siemens star"):
                print(line, flush=True)
        return
    if arguments.table == "networks":
        for line in by_networks():
            print(line, flush=True)
        return
    settings = OrientationSettings(frames_too=arguments.frames_too)
    for seed in range(arguments.seeds):
        for good in GOOD_SCANS:
            print(
                row(good.name, "nothing", check_orientation(make(good, seed), settings=settings)), flush=True
            )


if __name__ == "__main__":
    main()

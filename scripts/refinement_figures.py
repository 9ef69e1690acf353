"""Measure what the pages about refinement say: print their tables, in Markdown."""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from ptycho.comparison import ComparisonSettings, FinishedArm, compare, load_arm
from ptycho.data import (
    ScanData,
    SimulationSettings,
    defocused_probe,
    extract_patches,
    read_scan,
    simulate,
    write_npz,
)
from ptycho.data.overlap import median_step, overlap_of
from ptycho.demo import demo_scan, model_folder
from ptycho.diffraction import SplineObject, expected_amplitude, far_field, spread_under_frames
from ptycho.diffraction.spline_object import spline_taps
from ptycho.evaluation import compare_images
from ptycho.image import PlacedImage
from ptycho.image.cropping import window_of_positions
from ptycho.models import load_model
from ptycho.reconstruction import InferenceSettings, reconstruct
from ptycho.refinement import RefinementRun, RefinementSettings, refine
from ptycho.report.run_report import peak_resident_bytes

CROP_SIZE = 24
Result = TypeVar("Result")
_HEADING = """| start | sweeps | SSIM amplitude | phase | chi² | R | changed by the 1st sweep | s |
|---|---:|---:|---:|---:|---:|---:|---:|"""


def misfit(
    image: PlacedImage, scan: ScanData, probe: np.ndarray, positions_yx: np.ndarray
) -> tuple[float, float]:
    """Return chi² and R of an image: (2 amplitude - 2 expected)² over pixels that expect more than one photon."""
    assert image.origin_yx is not None
    values, _, origin_yx = spread_under_frames(
        image.values, image.covered, image.origin_yx, positions_yx, scan.patch_size
    )
    spline, counts = SplineObject.of(values), np.True_ if scan.mask is None else scan.mask
    squares = bright = difference = measured = 0.0
    for start in range(0, scan.n_frames, 64):
        frames = scan.amplitude[start : start + 64]
        expected = expected_amplitude(spline, probe, positions_yx[start : start + 64] - origin_yx)
        seen = (expected > 1) & counts
        squares += float(np.sum(4 * (frames - expected)[seen].astype(np.float64) ** 2))
        bright += np.count_nonzero(seen)
        difference += float(np.sum(np.abs(frames - expected) * counts, dtype=np.float64))
        measured += float(np.sum(frames * counts, dtype=np.float64))
    return squares / bright, difference / measured


def similarity(image: PlacedImage, scan: ScanData) -> str:
    """Return the SSIM of amplitude and phase against the scan's truth."""
    settings = ComparisonSettings(crop_size=min(CROP_SIZE, scan.patch_size))
    (arm,) = compare([FinishedArm(label="image", image=image)], scan, settings=settings).arms
    assert arm.metrics is not None
    return f"{arm.metrics.ssim.amplitude:.3f} | {arm.metrics.ssim.phase:.3f}"


def network_image(kind: str, scan: ScanData) -> tuple[PlacedImage, float]:
    """Return the image that a shipped network makes, and the seconds that it took."""
    began = time.perf_counter()
    run = reconstruct(load_model(model_folder(kind)), scan, InferenceSettings(crop_size=CROP_SIZE))  # pyright: ignore
    return run.image, time.perf_counter() - began


def engines() -> None:
    """One and three sweeps from the PINN's image with other steps."""
    scan = demo_scan()
    start, _ = network_image("pinn", scan)
    print(
        "| mini-batch | α | SSIM amplitude, 1 sweep | phase | 3 sweeps | phase |\n|---:|---:|---:|---:|---:|---:|"
    )
    wanted = [(size, 0.5) for size in (1, 8, 16, 32, 64, 128, scan.n_frames)]
    wanted += [(32, alpha) for alpha in (0.05, 0.2, 1.0)]
    for mini_batch, alpha in wanted:
        settings = RefinementSettings(mini_batch=mini_batch, alpha=alpha)
        runs = [refine(start, scan, replace(settings, sweeps=sweeps)) for sweeps in (1, 3)]
        print(
            f"| {mini_batch:,} | {alpha:g} | {' | '.join(similarity(run.image, scan) for run in runs)} |",
            flush=True,
        )


def demo() -> None:
    """Each shipped network and a flat object, refined."""
    scan = demo_scan()
    print(_HEADING)
    truth = PlacedImage(scan.object_guess, np.ones(scan.object_guess.shape, bool), (0.0, 0.0))  # pyright: ignore
    _row("the truth itself", 0, truth, scan, None)
    for kind in ("pinn", "baseline", None):
        start, seconds = (None, 0.0) if kind is None else network_image(kind, scan)
        name = "flat" if kind is None else kind
        if start is not None:
            _row(f"{name}, {seconds:.1f} s", 0, start, scan, None)
        for sweeps in (1, 3, 10):
            run = refine(start, scan, RefinementSettings(sweeps=sweeps))
            _row(name, sweeps, run.image, scan, run)


def alone() -> None:
    """The PINN's patches, each improved by its own frame and by no other."""
    scan = demo_scan().normalised()
    assert scan.object_guess is not None
    chosen = np.arange(0, scan.n_frames, 10)
    measured, light = scan.amplitude[chosen], np.abs(scan.probe) ** 2
    truth = extract_patches(scan.object_guess, scan.positions_yx[chosen], scan.patch_size)
    patches = load_model(model_folder("pinn")).predict_batch(measured[..., None])  # pyright: ignore
    print("| steps | R of the patches | error of the central 24 x 24 pixels |\n|---:|---:|---:|")
    for step in range(1001):
        waves = far_field(patches * scan.probe)
        modulus, raw = np.abs(waves), np.fft.ifftshift(measured, axes=(1, 2))
        if step in (0, 10, 100, 1000):
            r_factor = float(np.abs(modulus - raw).sum() / raw.sum())
            print(f"| {step:,} | {r_factor:.4f} | {_patch_error(patches, truth):.3f} |", flush=True)
        difference = np.fft.ifft2(waves * (raw / np.maximum(modulus, 1e-12) - 1), norm="ortho")
        patches = patches + (scan.probe.conj() * difference / light.max()).astype(np.complex64)


def _patch_error(patches: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean relative error of patches, each up to a constant factor."""
    start = (patches.shape[1] - CROP_SIZE) // 2
    inner = np.s_[:, start : start + CROP_SIZE, start : start + CROP_SIZE]
    here, there = (array[inner].reshape(len(array), -1) for array in (patches, truth))
    factors = np.sum(here.conj() * there, axis=1) / np.sum(np.abs(here) ** 2, axis=1)
    errors = np.linalg.norm(factors[:, None] * here - there, axis=1) / np.linalg.norm(there, axis=1)
    return float(errors.mean())


def _row(
    name: str,
    sweeps: int,
    image: PlacedImage,
    believed: ScanData,
    run: RefinementRun | None,
    truth: ScanData | None = None,
) -> None:
    """Print how an image agrees with the frames of the scan as it is believed, and with the truth."""
    probe, positions_yx = (
        (believed.probe, believed.positions_yx) if run is None else (run.probe, run.positions_yx)
    )
    chi_squared, r_factor = misfit(image, believed, probe, positions_yx)
    scored = truth or believed
    score = "– | –" if scored.object_guess is None else similarity(image, scored)
    told = "– | –" if run is None else f"{run.distrust:.1%} | {run.seconds:.2f}"
    print(f"| {name} | {sweeps} | {score} | {chi_squared:.3f} | {r_factor:.4f} | {told} |", flush=True)


def misleading() -> None:
    """A wrong probe and wrong positions, believed and refined."""
    scan = demo_scan()
    start, _ = network_image("pinn", scan)
    wrong_probe = defocused_probe(scan.patch_size, defocus=8.0)
    wrong_probe = (wrong_probe * np.linalg.norm(scan.probe) / np.linalg.norm(wrong_probe)).astype(
        np.complex64
    )
    stray = np.random.default_rng(1).normal(0, np.sqrt(2), scan.positions_yx.shape)
    moved = replace(scan, positions_yx=scan.positions_yx + stray)
    out_of_focus = replace(scan, probe=wrong_probe)
    cases: list[tuple[str, ScanData, RefinementSettings]] = [
        ("all right", scan, RefinementSettings()),
        ("defocus 8 instead of 12", out_of_focus, RefinementSettings()),
        ("defocus 8, probe refined", out_of_focus, RefinementSettings(refine_probe=True)),
        ("positions off by 2 px rms", moved, RefinementSettings()),
        ("the same, positions refined", moved, RefinementSettings(refine_positions=True)),
    ]
    print(_HEADING)
    _row("the PINN's image", 0, start, scan, None)
    for name, believed, settings in cases:
        for sweeps in (1, 10):
            run = refine(start, believed, replace(settings, sweeps=sweeps))
            _row(name, sweeps, run.image, believed, run, scan)


def file(path: Path, starts: Sequence[str]) -> None:
    """Any scan: from a flat object, and from the finished images `starts`, each LABEL=FILE."""
    scan = replace(read_scan(path, labels=False), object_guess=None)
    arms: dict[str, PlacedImage | None] = {"flat": None}
    for text in starts:
        label, _, found = text.partition("=")
        arm = load_arm(found, label, scan=scan)
        assert isinstance(arm, FinishedArm)
        arms[label] = arm.image
    print(_HEADING)
    for name, start in arms.items():
        if start is not None:
            _row(name, 0, start, scan, None)
        for sweeps in (1, 3, 10):
            run = refine(start, scan, RefinementSettings(sweeps=sweeps))
            _row(name, sweeps, run.image, scan, run)


def speed(n_frames: int) -> None:
    """A sweep over many frames, its memory, and the same in plain NumPy."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npz"
        # By another process, whose memory is not counted here.
        child = multiprocessing.get_context("spawn").Process(target=_simulate_into, args=(path, n_frames))
        child.start()
        child.join()
        scan = read_scan(path, labels=False)
    assert scan.object_guess is not None
    # The phase of waves that are next to nothing, as those of a flat object, is decided by rounding.
    start = PlacedImage(0.3 + 0.7 * scan.object_guess, np.ones(scan.object_guess.shape, bool), (0.0, 0.0))
    refine(start, scan.select(np.arange(64)))  # compiles
    (run, times), peak = _timed(lambda: refine(start, scan)), peak_resident_bytes() or 0
    plain, plain_times = _timed(lambda: plain_sweep(start, scan, run))
    difference = np.abs(plain - run.image.values)[run.image.covered].max()
    print("| frames | what | wall s | processor s | peak of the process / MiB |\n|---:|---|---:|---:|---:|")
    print(f"| {n_frames:,} | one sweep | {times[0]:.2f} | {times[1]:.2f} | {peak / 2**20:.0f} |")
    print(f"| {n_frames:,} | plain NumPy | {plain_times[0]:.2f} | {plain_times[1]:.2f} | |")
    print(
        f"\nThe frames are {scan.amplitude.nbytes / 2**20:.0f} MiB; the images differ by {difference:.1e} at most."
    )


def _simulate_into(path: Path, n_frames: int) -> None:
    write_npz(
        path, simulate(SimulationSettings(object_shape_yx=(640, 700), n_positions=n_frames, n_lines=160))
    )


def _timed(work: Callable[[], Result]) -> tuple[Result, tuple[float, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - wall, time.process_time() - processor)


def plain_sweep(start: PlacedImage, scan: ScanData, run: RefinementRun) -> np.ndarray:
    """Return the object after the sweep of `run`, in NumPy that takes a mini-batch at a time."""
    settings, side = run.settings, scan.patch_size
    assert start.origin_yx is not None
    image, _, origin_yx = spread_under_frames(
        start.values, start.covered, start.origin_yx, scan.positions_yx, side
    )
    first, weights = spline_taps(scan.positions_yx - np.asarray(origin_yx), side)
    coefficients = SplineObject.of(image * np.float32(run.scale)).coefficients.copy()
    probe, light = scan.probe, np.abs(scan.probe) ** 2
    order = np.random.default_rng(settings.seed).permutation(scan.n_frames)
    for begin in range(0, scan.n_frames, settings.mini_batch):
        batch = order[begin : begin + settings.mini_batch]
        windows = [np.s_[y : y + side + 3, x : x + side + 3] for y, x in first[batch]]
        patches = np.stack([coefficients[window] for window in windows])
        for axis in (1, 2):
            patches = _tapped(patches, weights[batch, :, axis - 1], axis, side)
        waves = np.fft.fft2(patches * probe, norm="ortho").astype(np.complex64)
        measured = np.fft.ifftshift(scan.amplitude[batch], axes=(1, 2))
        waves *= measured / np.maximum(np.abs(waves), 1e-12) - 1
        wishes = probe.conj() * np.fft.ifft2(waves, norm="ortho").astype(np.complex64)
        sums, weight = np.zeros_like(coefficients), np.zeros(coefficients.shape, np.float32)
        for window, wish, taps in zip(windows, wishes, weights[batch], strict=True):
            sums[window] += _spread(wish, taps)
            weight[window] += _spread(light, taps)
        coefficients += sums / ((1 - settings.alpha) * weight + settings.alpha * weight.max())
    return SplineObject(coefficients).image()


def overlap() -> None:
    """Refine scans of ever larger steps from a flat image: how little overlap still ties patches together."""
    print("| overlap | frames | SSIM amplitude | phase | R |\n|---:|---:|---:|---:|---:|")
    for step_px in (9, 12, 15, 18, 20, 22, 24, 27, 30):
        # Eight frames a side, whatever the step.
        shape_yx = (72 + 7 * step_px, 76 + 7 * step_px)
        scan = simulate(SimulationSettings(step_px=step_px, object_shape_yx=shape_yx, seed=3))
        run = refine(None, scan, RefinementSettings(sweeps=40))
        assert scan.object_guess is not None  # the truth, which simulated scans have
        # All between the outermost positions: what no frame has lit well is wrong, not left out.
        window = window_of_positions(scan.positions_yx, crop_size=1, shape_yx=shape_yx)
        found = compare_images(run.image.in_window(window).values, window.of(scan.object_guess)).ssim
        scores = f"{found.amplitude:.3f} | {found.phase:.3f} | {run.sweeps[-1].r_factor:.4f}"
        share = overlap_of(median_step(scan.positions_yx), scan.probe)
        print(f"| {share:.0%} | {scan.n_frames} | {scores} |", flush=True)


def _tapped(patches: np.ndarray, weights: np.ndarray, axis: int, side: int) -> np.ndarray:
    views = [patches.take(range(tap, tap + side), axis=axis) for tap in range(4)]
    return sum(weights[:, tap, None, None] * view for tap, view in enumerate(views))  # pyright: ignore


def _spread(patch: np.ndarray, taps: np.ndarray) -> np.ndarray:
    side = len(patch)
    rows, out = np.zeros((side + 3, side), patch.dtype), np.zeros((side + 3, side + 3), patch.dtype)
    for tap in range(4):
        rows[tap : tap + side] += taps[tap, 0] * patch
    for tap in range(4):
        out[:, tap : tap + side] += taps[tap, 1] * rows
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    tables = parser.add_subparsers(dest="table", required=True)
    for table in (engines, demo, misleading, alone, overlap):
        tables.add_parser(table.__name__, help=table.__doc__).set_defaults(run=lambda _, table=table: table())
    of_file = tables.add_parser("file", help=file.__doc__)
    of_file.add_argument("scan", type=Path)
    of_file.add_argument("starts", nargs="*", metavar="LABEL=FILE")
    of_file.set_defaults(run=lambda arguments: file(arguments.scan, arguments.starts))
    of_speed = tables.add_parser("speed", help=speed.__doc__)
    of_speed.add_argument("--frames", type=int, default=10_304)
    of_speed.set_defaults(run=lambda arguments: speed(arguments.frames))
    arguments = parser.parse_args(argv)
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The measured Siemens star without and with its reference: who explains the frames, and how fine spokes are seen.

    .venv/bin/python scripts/star_figures.py star.npz siemens-star-epie.npz PtychoPINN=star-pinn Baseline=star-baseline
    .venv/bin/python scripts/star_figures.py … --pixel-nm 18.4 --picture visibility.png

The scan is that of docs/examples/siemens-star.md, the reference a finished reconstruction with positions, and each
network a folder of `ptycho-train` (``--hold-out blocks``). Printed are: chi² and R of every arm, between a constant
object and the noise; chi² of each network's patches over the frames that it learnt from, those of the margin, and those
held out; the half-set FRC of an iterative reconstruction (sweeps from a flat object, over two halves of the frames, by
lot); and the contrast of the spokes, ring by ring about the hub: the amplitude in radians of the harmonic of the
phase that has as many periods round the hub as there are spokes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage, optimize

from ptycho.comparison import ArmResult, ComparisonSettings, ModelArm, RefinedArm, compare, load_arm
from ptycho.data import ScanData, read_scan
from ptycho.evaluation import Misfit, half_set_frc
from ptycho.evaluation.frc import mean_frc
from ptycho.image import Rectangle
from ptycho.models import Architecture, PatchModel, TrainingSettings
from ptycho.models._examples import Examples
from ptycho.models._holding_out import split
from ptycho.models.patch_parts import PatchLight, PatchNeeds, PatchParts
from ptycho.reconstruction import InferenceSettings, reconstruct
from ptycho.reconstruction.judging import PatchJudge
from ptycho.refinement import RefinementSettings, refine

CROP_SIZE = 44
SWEEPS = 10
N_SPLITS = 3
REFERENCE = "ePIE"
RADII_PX = np.arange(34, 141, 2)
N_SPOKES = range(24, 49)
N_ANGLES = 1440
SHOWN_PERIODS_PX = (8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, 28.0)


@dataclass(frozen=True)
class Star:
    """Where the star lies in an image, and how many spokes it has.

    Attributes
    ----------
    hub_yx : (float, float)
    n_spokes : int
    """

    hub_yx: tuple[float, float]
    n_spokes: int

    def contrast(self, phase: np.ndarray) -> np.ndarray:
        """Return the amplitude of the spokes' harmonic at each radius of `RADII_PX`, in the unit of `phase`."""
        return harmonics(phase, self.hub_yx, order=3)[:, self.n_spokes]

    @property
    def periods_px(self) -> np.ndarray:
        """Distance from spoke to spoke at each radius of `RADII_PX`, in pixels."""
        return 2 * np.pi * RADII_PX / self.n_spokes


def harmonics(phase: np.ndarray, hub_yx: tuple[float, float], *, order: int) -> np.ndarray:
    """Return the amplitudes of all harmonics round a hub, (radii, N_ANGLES / 2), by splines of that order."""
    angles = 2 * np.pi * np.arange(N_ANGLES) / N_ANGLES
    rows = hub_yx[0] + np.outer(RADII_PX, np.sin(angles))
    columns = hub_yx[1] + np.outer(RADII_PX, np.cos(angles))
    around = np.asarray(ndimage.map_coordinates(phase, [rows, columns], order=order, mode="nearest"))
    return 2 * np.abs(np.fft.fft(around, axis=1))[:, : N_ANGLES // 2] / N_ANGLES


def find_star(phase: np.ndarray) -> Star:
    """Return the star of greatest contrast over all radii, its hub near the middle of the image."""
    middle = (np.array(phase.shape) - 1) / 2
    reach = np.arange(-30, 31, 6)

    def totals(hub_yx: np.ndarray) -> np.ndarray:
        return harmonics(phase, (hub_yx[0], hub_yx[1]), order=1).sum(axis=0)[N_SPOKES.start : N_SPOKES.stop]

    places = (middle + np.array([y, x]) for y in reach for x in reach)
    start = max(places, key=lambda hub_yx: totals(hub_yx).max())
    number = int(totals(start).argmax())
    found = optimize.minimize(lambda hub_yx: -totals(hub_yx)[number], start, method="Nelder-Mead")
    return Star((float(found.x[0]), float(found.x[1])), N_SPOKES[number])


def print_verdicts(arms: tuple[ArmResult, ...]) -> None:
    """Print chi² and R of every arm between the ends of the scale."""
    print("| arm | chi² image | chi² patches | median chi² over frames | R image | R patches | word |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for arm in arms:
        verdict = arm.verdict
        assert verdict is not None  # it was asked for
        image, patches = verdict.image, verdict.patches
        median = "–" if image is None else f"{image.spread.median:.2f}"
        cells = (
            _chi2(image),
            _chi2(patches),
            median,
            _r_factor(image),
            _r_factor(patches),
            f"`{verdict.cause}`",
        )
        print(f"| {arm.label} | {' | '.join(cells)} |")
    assert arms[0].verdict is not None
    constant = arms[0].verdict.constant
    print(
        f"| a constant object | {_chi2(constant)} | | {constant.spread.median:.2f} | {_r_factor(constant)} | | |"
    )
    noise = constant.noise_r_factor
    print(f"| counting noise alone | 1 | | 1 | {'–' if noise is None else f'{noise:.3f}'} | | |")


def _chi2(misfit: Misfit | None) -> str:
    return "–" if misfit is None or misfit.chi2 is None else f"{misfit.chi2:.2f}"


def _r_factor(misfit: Misfit | None) -> str:
    return "–" if misfit is None else f"{misfit.r_factor:.3f}"


def print_held_out(arm: ModelArm, scan: ScanData) -> None:
    """Print a row with chi² of the patches over frames that were learnt from, of the margin, and held out."""
    assert isinstance(arm.model, PatchModel)
    assert isinstance(arm.model.architecture, Architecture)
    assert arm.model.training is not None
    settings = TrainingSettings(**arm.model.training["settings"])
    rng = np.random.default_rng(settings.seed)
    seen, held_out, _ = split(Examples.gather([scan], arm.model.architecture, rng), settings, rng)
    margin = np.setdiff1d(np.arange(scan.n_frames), np.concatenate([seen, held_out]))
    patches: list[np.ndarray] = []
    reconstruct(
        arm.model,
        scan,
        InferenceSettings(crop_size=CROP_SIZE),
        observer=lambda _frames, _centres, batch: patches.append(batch.copy()),
    )
    every = np.concatenate(patches)
    cells = [arm.label]
    for frames in (seen, margin, held_out):
        judge = PatchJudge(scan, PatchLight(scan.probe, scan.patch_size))
        order = np.sort(frames)
        judge.add(order, scan.frames(order), PatchParts.of(every[order], PatchNeeds(CROP_SIZE), len(order)))
        misfit = judge.result()
        cells += [f"{len(frames)}", _chi2(misfit), _r_factor(misfit)]
    print(f"| {' | '.join(cells)} |", flush=True)


def print_half_sets(scan: ScanData, window: Rectangle) -> None:
    """Print the half-set FRC of iterative reconstructions of two halves of the frames, the mean of several splits."""
    pairs, rng = [], np.random.default_rng(0)
    for _ in range(N_SPLITS):
        parts = np.array_split(rng.permutation(scan.n_frames), 2)
        runs = [refine(None, scan.select(np.sort(part)), RefinementSettings(sweeps=SWEEPS)) for part in parts]
        pairs.append([run.image.in_window(window) for run in runs])
    # The same pixels for all splits, or their mean would be one of different rings.
    mask = np.logical_and.reduce([half.covered for pair in pairs for half in pair])
    curves = [half_set_frc(first.values, second.values, mask=mask) for first, second in pairs]
    mean = mean_frc(curves, frc_sigma=0.0)
    for name in ("one_seventh", "half_bit", "one_bit"):
        cutoffs = mean.cutoffs(name)
        single = [[cutoff.frequency for cutoff in each.cutoffs(name) if cutoff] for each in curves]
        figures = [
            f"{image} {cutoff.frequency:.3f} (splits {min(column):.3f} to {max(column):.3f})"
            for image, cutoff, column in zip(
                ("amplitude", "phase"), cutoffs, zip(*single, strict=True), strict=True
            )
            if cutoff is not None
        ]
        print(f"{name}: {', '.join(figures)} cycles per pixel", flush=True)


def print_contrasts(star: Star, contrasts: dict[str, np.ndarray], pixel_nm: float | None) -> None:
    """Print the contrast of the spokes at some periods, and relative to that of the reference."""
    labels, reference = list(contrasts), contrasts[REFERENCE]
    unit = "px" if pixel_nm is None else "px (nm)"
    print(
        f"\n{star.n_spokes} spokes about row {star.hub_yx[0]:.1f}, column {star.hub_yx[1]:.1f} of the window\n"
    )
    print(f"| period / {unit} | {' | '.join(f'{label} / rad' for label in labels)} |")
    print(f"|---|{'---:|' * len(labels)}")
    for period in SHOWN_PERIODS_PX:
        own = [float(np.interp(period, star.periods_px, contrasts[label])) for label in labels]
        scale = float(np.interp(period, star.periods_px, reference))
        name = f"{period:g}" if pixel_nm is None else f"{period:g} ({period * pixel_nm:.0f})"
        print(f"| {name} | {' | '.join(f'{value:.3f} ({value / scale:.0%})' for value in own)} |")


def draw(star: Star, contrasts: dict[str, np.ndarray], path: Path) -> None:
    """Draw the contrast of the spokes against their period."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for label, contrast in contrasts.items():
        axes.plot(star.periods_px, contrast, label=label)
    axes.set_xlabel("period of the spokes / px")
    axes.set_ylabel("contrast of the phase / rad")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the figures of the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scan", type=Path, help="NPZ of the scan")
    parser.add_argument("reference", type=Path, help="finished reconstruction")
    parser.add_argument("models", nargs="+", metavar="LABEL=FOLDER", help="networks of ptycho-train")
    parser.add_argument("--pixel-nm", type=float, help="side of a pixel of the object, for periods in nm")
    parser.add_argument("--picture", type=Path, help="file of the picture of contrast against period")
    arguments = parser.parse_args()
    scan = read_scan(arguments.scan)
    folders = dict(entry.split("=", 1) for entry in arguments.models)
    networks = {label: load_arm(folder, label, scan=scan) for label, folder in folders.items()}
    flat = refine(None, scan, RefinementSettings(sweeps=SWEEPS))
    label = f"{SWEEPS} sweeps from a flat object"
    iterative = RefinedArm(label=label, run=flat)
    reference = load_arm(arguments.reference, REFERENCE, scan=scan)
    settings = ComparisonSettings(crop_size=CROP_SIZE)
    result = compare([*networks.values(), iterative, reference], scan, settings=settings)
    print_verdicts(result.arms)
    print("\n| network | frames learnt | chi² | R | in the margin | chi² | R | held out | chi² | R |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for arm in networks.values():
        assert isinstance(arm, ModelArm)
        print_held_out(arm, scan)
    print(f"\nHalf sets of {SWEEPS} sweeps from a flat object, mean of {N_SPLITS} splits:\n")
    print_half_sets(scan, result.window)
    scored = [arm for arm in result.arms if arm.metrics is not None]
    assert scored[-1].metrics is not None
    star = find_star(scored[-1].metrics.images.phase)
    contrasts = {
        arm.label: star.contrast(arm.metrics.images.phase) for arm in scored if arm.metrics is not None
    }
    print_contrasts(star, contrasts, arguments.pixel_nm)
    if arguments.picture is not None:
        draw(star, contrasts, arguments.picture)


if __name__ == "__main__":
    main()

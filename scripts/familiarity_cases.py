"""How like scans are to those that the demo's networks were trained on: good ones, and some strange in known ways.

    .venv/bin/python scripts/familiarity_cases.py
    .venv/bin/python scripts/familiarity_cases.py doses     # what another dose does to the images; some minutes
    .venv/bin/python scripts/familiarity_cases.py record    # writes the record of the training into the demo's bundles

Every scan is simulated from its seed. The table is that of docs/metrics.md. Below it stands how far the twenty-one good
scans are from the nearest of only some of the thirty training scans, the worst of them in fifty draws.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from verdict_cases import COMPARISON, FRESH_SCANS, GOOD_SCANS, SETTINGS, smooth_object

from ptycho.comparison import ArmResult, compare, load_arm
from ptycho.data import ScanData, SimulationSettings, simulate
from ptycho.demo import demo_scan, model_folder
from ptycho.models import FrameStatistics, familiarity_of, frame_statistics, load_model, save_bundle
from ptycho.models.bundle import load_bundle

TRAINING_SEEDS = range(1, 31)
TRAINING = SimulationSettings(n_positions=200)
DOSES = (1e8, 1e6, 1e5, 2e4, 1e4, 7e3, 5e3, 3e3, 1e3)
DOSE_SEEDS = (3, 121, 122)


def strange_scans() -> Iterator[tuple[str, ScanData]]:
    """Give scans that differ from the training's in one thing, by its name."""
    for photons in (1e2, 1e4, 1e6, 1e8):
        yield f"{photons:g} photons a frame", simulate(replace(SETTINGS, photons_per_frame=photons))
    for defocus in (11.0, 10.0, 8.0, 16.0):
        yield f"probe of defocus {defocus:g} instead of 12", simulate(replace(SETTINGS, defocus=defocus))
    yield "probe of aperture 0.4 instead of 0.5", simulate(replace(SETTINGS, aperture=0.4))
    for seed in (5, 6, 7):
        smooth = smooth_object(SETTINGS.object_shape_yx, seed=seed)
        yield f"smooth object of strong phase, seed {seed}", simulate(SETTINGS, object_image=smooth)
    for n_lines in (10, 160):
        yield f"{n_lines} lines instead of 40", simulate(replace(SETTINGS, n_lines=n_lines))
    for blur_px in (1.5, 3.0):
        yield f"lines blurred by {blur_px:g} px instead of 2", simulate(replace(SETTINGS, blur_px=blur_px))
    constant = np.ones(SETTINGS.object_shape_yx, np.complex64)
    yield "a constant object", simulate(SETTINGS, object_image=constant)


def good_scans() -> Iterator[ScanData]:
    """Give the demo's scan and the twenty good ones of the verdict's cases."""
    yield demo_scan()
    for step_px, photons, seed in (*GOOD_SCANS, *FRESH_SCANS):
        yield simulate(replace(SETTINGS, step_px=step_px, photons_per_frame=photons, seed=seed))


def training_frames() -> list[FrameStatistics]:
    """Return the figures of the thirty scans of docs/examples/demo.md."""
    return [frame_statistics(simulate(replace(TRAINING, seed=seed))) for seed in TRAINING_SEEDS]


def print_table(training: list[FrameStatistics]) -> None:
    """Print a row for the good scans together and one for each strange one."""
    probes = load_model(model_folder("pinn")).probes
    print("| scan | light | dose | probe | word |\n|---|---:|---:|---:|---|")
    found = []
    for scan in good_scans():
        found.append(
            familiarity_of(
                frame_statistics(scan), scan.probe, training_frames=training, training_probes=probes
            )
        )
    worst = max(each.light_distance or 0 for each in found)
    ratios = [each.dose_ratio or 0 for each in found]
    words = sorted({each.word for each in found})
    overlap = min(each.probe_overlap or 0 for each in found)
    print(
        f"| twenty-one good scans, the worst | {worst:.2f} | {min(ratios):.2g} to {max(ratios):.3g} | {overlap:.3f} | "
        f"{' or '.join(words)} |"
    )
    for name, scan in strange_scans():
        one = familiarity_of(
            frame_statistics(scan), scan.probe, training_frames=training, training_probes=probes
        )
        print(
            f"| {name} | {one.light_distance:.2f} | {one.dose_ratio:.3g} | {one.probe_overlap:.2f} | {one.word} |"
        )


def print_few(training: list[FrameStatistics]) -> None:
    """Print how far good scans are from the nearest of only some training scans."""
    good, rng = [frame_statistics(scan) for scan in good_scans()], np.random.default_rng(0)
    nothing = np.zeros((1, 1), np.complex64)
    for n_scans in (1, 2, 3, 5, 8, 12, 20):
        worst = []
        for _ in range(50):
            some = [training[number] for number in rng.permutation(len(training))[:n_scans]]
            worst.append(
                max(familiarity_of(each, nothing, training_frames=some).light_distance or 0 for each in good)
            )
        print(
            f"{n_scans:2} training scans: {np.median(worst):.2f} in half of the draws, {max(worst):.2f} at most"
        )


def print_doses() -> None:
    """Print how good the images of both demo networks are at other doses than that of their training, by the truth."""
    print(
        "| photons a frame | network | SSIM amplitude | phase | MAE amplitude | phase | chi² image | words |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---|")
    arms = [load_arm(model_folder(kind)) for kind in ("pinn", "baseline")]
    for photons in DOSES:
        settings = replace(SETTINGS, object_shape_yx=(160, 170), photons_per_frame=photons)
        runs = [
            compare(arms, simulate(replace(settings, seed=seed)), settings=COMPARISON).arms
            for seed in DOSE_SEEDS
        ]
        for results in zip(*runs, strict=True):
            figures = np.mean([_figures(result) for result in results], axis=0)
            cells = [f"{value:.3f}" for value in figures[:-1]]
            words = {str(result.familiarity and result.familiarity.word) for result in results}
            causes = {str(result.verdict and result.verdict.cause) for result in results}
            said = f"{' or '.join(sorted(words))}; {' or '.join(sorted(causes))}"
            print(
                f"| {photons:g} | {results[0].label} | {' | '.join(cells)} | {figures[-1]:.4g} | {said} |",
                flush=True,
            )


def _figures(result: ArmResult) -> tuple[float, ...]:
    metrics, verdict = result.metrics, result.verdict
    assert metrics is not None
    assert verdict is not None
    assert verdict.image is not None
    pairs = (metrics.ssim, metrics.mae)
    figures = [value for pair in pairs for value in (pair.amplitude, pair.phase)] + [verdict.image.chi2]
    return tuple(value for value in figures if value is not None)


def record(training: list[FrameStatistics]) -> None:
    """Write what is recorded today into the demo's bundles, which were trained before it was."""
    for kind in ("pinn", "baseline"):
        model = load_bundle(model_folder(kind))
        scans = [{"n_frames": TRAINING.n_positions, "frames": each.as_dict()} for each in training]
        save_bundle(model_folder(kind), replace(model, training={**model.training, "scans": scans}))


def main() -> None:
    """Print the tables, or write the record."""
    if sys.argv[1:] == ["doses"]:
        print_doses()
        return
    training = training_frames()
    if sys.argv[1:] == ["record"]:
        record(training)
        return
    print_table(training)
    print_few(training)


if __name__ == "__main__":
    main()

"""Five scans on which a network is right or wrong in known ways, twenty on which it is right, and what the frames say.

    .venv/bin/python scripts/verdict_cases.py

Every scan is simulated from the seeds below, of 10⁵ photons a frame where nothing else is said. The five cases run the
demo's PINN: the scan that it was trained for; one whose probe has a defocus of 8 instead of 12; positions wrong by 3 px
(root mean square of the distance); an object of another family, smooth with a strong phase; and the truth itself as a
finished image. Beside each chi² stands that of a twin that shares no code with it: patches by `map_coordinates`,
NumPy's FFT, moments summed over SciPy's Poisson distribution. The tables are those of docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, stats

from ptycho.comparison import Arm, ArmResult, ComparisonSettings, FinishedArm, ModelArm, compare, load_arm
from ptycho.data import ScanData, SimulationSettings, simulate
from ptycho.demo import model_folder
from ptycho.image.placed import PlacedImage

CROP_SIZE = 24
SETTINGS = SimulationSettings(object_shape_yx=(200, 200), step_px=5.0, seed=3)
POSITION_ERROR_PX = 3.0
# (step in pixels, photons a frame, seed)
GOOD_SCANS = (
    (4.0, 1e5, 102),
    (5.0, 1e5, 101),
    (6.5, 1e5, 103),
    (8.0, 1e5, 104),
    (10.0, 1e5, 105),
    (5.0, 1e4, 106),
    (6.0, 3e4, 110),
    (5.0, 1e6, 108),
    (5.0, 1e7, 109),
    (5.0, 1e8, 112),
)
# The limits of the verdict were set on the scans above, so that these, chosen afterwards, are their test.
FRESH_SCANS = (
    (4.5, 2e5, 201),
    (5.5, 5e4, 202),
    (7.0, 1e5, 203),
    (9.0, 1e6, 204),
    (5.0, 3e5, 205),
    (6.0, 1e5, 206),
    (4.0, 1e6, 207),
    (8.0, 5e4, 208),
    (5.0, 1e5, 209),
    (7.5, 1e7, 210),
)
COMPARISON = ComparisonSettings(crop_size=CROP_SIZE, register="none", self_consistency=False)


@dataclass(frozen=True, eq=False)
class Judged:
    """One arm on one scan: what `compare` says, and the twin's chi² of image and patches (None where there is none)."""

    result: ArmResult
    twin_image: float
    twin_patches: float | None


def smooth_object(shape_yx: tuple[int, int], *, seed: int) -> np.ndarray:
    """Return a smooth object of weak amplitude and strong phase, unlike anything the demo's networks have seen."""
    rng = np.random.default_rng(seed)
    amplitude, phase = (ndimage.gaussian_filter(rng.standard_normal(shape_yx), 7) for _ in range(2))
    amplitude, phase = (field / np.abs(field).max() for field in (amplitude, phase))
    return ((0.8 + 0.2 * amplitude) * np.exp(8j * phase)).astype(np.complex64)


def five_cases() -> dict[str, tuple[ScanData, Arm]]:
    """Return scan and arm of each case, by its name."""
    good = simulate(SETTINGS)
    rng = np.random.default_rng(11)
    wrong_yx = good.positions_yx + rng.normal(0, POSITION_ERROR_PX / 2**0.5, good.positions_yx.shape)
    other = simulate(SETTINGS, object_image=smooth_object(SETTINGS.object_shape_yx, seed=5))
    network = load_arm(model_folder("pinn"))
    covered = np.ones(SETTINGS.object_shape_yx, bool)
    assert good.object_guess is not None  # it was simulated
    truth = FinishedArm(label="truth", image=PlacedImage(good.object_guess, covered, (0.0, 0.0)))
    return {
        "as trained": (good, network),
        "probe defocus 8 instead of 12": (simulate(replace(SETTINGS, defocus=8.0)), network),
        f"positions wrong by {POSITION_ERROR_PX:g} px rms": (replace(good, positions_yx=wrong_yx), network),
        "object of another family": (other, network),
        "the truth itself": (good, truth),
    }


def judge(scan: ScanData, arm: Arm) -> Judged:
    """Run `arm` on `scan` without its truth, and the twin beside it."""
    patches: list[np.ndarray] = []
    if isinstance(arm, ModelArm):
        arm = replace(arm, observer=lambda _frames, _centres, batch: patches.append(batch.copy()))
    (result,) = compare([arm], replace(scan, object_guess=None), settings=COMPARISON).arms
    image = result.inference.image if result.inference is not None else finished_image(arm)
    twin_patches = twin_chi2(scan, np.arange(scan.n_frames), np.concatenate(patches)) if patches else None
    return Judged(result, twin_of_image(scan, image), twin_patches)


def finished_image(arm: Arm) -> PlacedImage:
    """Return the image that an arm brought with it."""
    assert isinstance(arm, FinishedArm)
    return arm.image


def twin_of_image(scan: ScanData, image: PlacedImage) -> float:
    """Return chi² over its Poisson expectation of frames recomputed from an image, in plain NumPy and SciPy."""
    side = scan.patch_size
    covered, light = np.pad(image.covered, side), np.abs(scan.probe) ** 2
    nearest = np.asarray(
        ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    )
    filled = np.pad(image.values, side)[nearest[0], nearest[1]]
    corners = scan.positions_yx - image.origin_yx + side - side // 2
    chosen, patches = [], []
    for number, corner in enumerate(corners):
        row, column = np.round(corner).astype(int)
        share = (covered[row : row + side, column : column + side] * light).sum() / light.sum()
        if share >= 0.99:
            grid = np.mgrid[:side, :side] + corner[:, None, None]
            real, imaginary = (
                ndimage.map_coordinates(part(filled), grid, order=3) for part in (np.real, np.imag)
            )
            chosen.append(number)
            patches.append(real + 1j * imaginary)
    return twin_chi2(scan, np.array(chosen), np.array(patches))


def twin_chi2(scan: ScanData, indices: np.ndarray, patches: np.ndarray) -> float:
    """Return chi² over its Poisson expectation of frames recomputed from patches (k, N, N)."""
    roots = np.linspace(0, 40, 2001)
    noise = np.array([_noise(root**2) for root in roots])
    squares = expected = 0.0
    for number, patch in zip(indices, patches, strict=True):
        intensity = np.abs(np.fft.fftshift(np.fft.fft2(patch * scan.probe))) ** 2
        counts = scan.amplitude[number].astype(float) ** 2
        intensity *= counts.sum() / intensity.sum()
        squares += (4 * (np.sqrt(counts) - np.sqrt(intensity)) ** 2).sum()
        # One number was fitted to each frame.
        expected += np.interp(np.sqrt(intensity), roots, noise).sum() - 1
    return squares / expected


def _noise(expected: float) -> float:
    counts = np.arange(int(expected + 12 * expected**0.5 + 20))
    return float(stats.poisson.pmf(counts, expected) @ (4 * (np.sqrt(counts) - expected**0.5) ** 2))


def report_cases() -> None:
    """Print the five cases as a table."""
    print("| scan | chi² image (twin) | chi² patches (twin) | R image | R patches | cause |")
    print("|---|---|---|---|---|---|")
    for name, (scan, arm) in five_cases().items():
        judged = judge(scan, arm)
        verdict = judged.result.verdict
        assert verdict is not None
        assert verdict.image is not None
        patches = verdict.patches
        figures = (
            f"{verdict.image.chi2:.3f} ({judged.twin_image:.3f})",
            "–" if patches is None else f"{patches.chi2:.3f} ({judged.twin_patches:.3f})",
            f"{verdict.image.r_factor:.3f}",
            "–" if patches is None else f"{patches.r_factor:.3f}",
            verdict.cause,
        )
        print(f"| {name} | {' | '.join(figures)} |", flush=True)


def report_scans(scans: Sequence[tuple[float, float, int]]) -> None:
    """Print good scans as a table, both networks."""
    print(
        "\n| step / px | photons a frame | network | chi² image | patches | constant | share of its misfit | cause |"
    )
    print("|---|---|---|---|---|---|---|---|")
    from ptycho.evaluation.verdict import unexplained_share

    arms = [load_arm(model_folder(kind)) for kind in ("pinn", "baseline")]
    for step_px, photons, seed in scans:
        scan = simulate(
            SimulationSettings(
                object_shape_yx=(160, 170), step_px=step_px, photons_per_frame=photons, seed=seed
            )
        )
        result = compare(arms, replace(scan, object_guess=None), settings=COMPARISON)
        for arm in result.arms:
            verdict = arm.verdict
            assert verdict is not None
            assert verdict.image is not None
            assert verdict.patches is not None
            shares = [unexplained_share(m, verdict.constant) for m in (verdict.image, verdict.patches)]
            print(
                f"| {step_px:g} | {photons:g} | {arm.label} | {verdict.image.chi2:.4g} | {verdict.patches.chi2:.4g} | "
                f"{verdict.constant.chi2:.4g} | {shares[0]:.3f}, {shares[1]:.3f} | {verdict.cause} |",
                flush=True,
            )


if __name__ == "__main__":
    report_cases()
    report_scans(GOOD_SCANS)
    report_scans(FRESH_SCANS)

"""PtychoPINN's way of cropping and scoring, for figures that can be put beside its older tables.

It departs from the textbook in ways that `docs/metrics.md` lists (PSNR against a peak of 255, MS-SSIM by bare
decimation, FRC without window and into the corners, cut-offs in rings). Nothing here is a recommendation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ptycho.errors import DataError
from ptycho.evaluation import similarity
from ptycho.evaluation.alignment import checked_pair
from ptycho.evaluation.frc import ONE_SEVENTH, first_crossing, smoothed
from ptycho.evaluation.results import (
    ChannelPair,
    FrcCurve,
    FrcCurves,
    FrcCutoffs,
    ImageMetrics,
    ScoredImages,
    SeenImages,
)
from ptycho.image.cropping import Rectangle, centre_crop
from ptycho.image.phase import PhaseAlignMethod, PhaseRamp, detrended_phase

_TRIM_PX = 2
_PEAK = 255.0
_LEAST_SSIM = 1e-4
_LEAST_SIDE_PX = similarity.SSIM_WINDOW_PX + 2 * _TRIM_PX


@dataclass(frozen=True, eq=False)
class LegacyPlacement:
    """Reconstruction and truth cut to one shape about their centres, and that window in the truth's frame."""

    reconstruction: np.ndarray
    truth: np.ndarray
    window: Rectangle


def place_by_ptychopinn(
    reconstruction: np.ndarray, truth: np.ndarray, positions_yx: np.ndarray, *, crop_size: int
) -> LegacyPlacement:
    """Cut the scanned window out of the truth and centre-crop both images to their smaller sides.

    The reconstruction is centred on the mean position, the window on the middle of the bounding box: a scan
    with a lopsided set of positions is therefore misplaced by the difference. That is the convention.

    Parameters
    ----------
    reconstruction : (h, w) complex
        As stitched, centred on the mean position.
    truth : (H, W) complex
        Whole object.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the truth, row first.
    crop_size : int
        Side M of the stitched crops.

    Raises
    ------
    DataError
        An image is not complex, or the window is empty.
    """
    reconstruction, truth = checked_pair(reconstruction, truth)
    low, high = np.min(positions_yx, axis=0), np.max(positions_yx, axis=0)
    start = [max(0, int(value) - crop_size // 2) for value in low]
    stop = [min(size, int(value) + crop_size // 2) for value, size in zip(high, truth.shape, strict=True)]
    if start[0] >= stop[0] or start[1] >= stop[1]:
        raise DataError(
            f"positions from {tuple(low)} to {tuple(high)} with crops of {crop_size} pixels leave no window in "
            f"the truth of {truth.shape}; check the order (row, column) of the positions."
        )
    cut = truth[start[0] : stop[0], start[1] : stop[1]]
    shape = min(reconstruction.shape[0], cut.shape[0]), min(reconstruction.shape[1], cut.shape[1])
    origin = [first + (size - side) // 2 for first, size, side in zip(start, cut.shape, shape, strict=True)]
    window = Rectangle(origin[0], origin[0] + shape[0], origin[1], origin[1] + shape[1])
    return LegacyPlacement(centre_crop(reconstruction, shape), window.of(truth), window)


def compare_by_ptychopinn(
    reconstruction: np.ndarray,
    truth: np.ndarray,
    positions_yx: np.ndarray,
    *,
    crop_size: int,
    phase_align: PhaseAlignMethod = "plane",
    ms_ssim_sigma: float = 1.0,
    frc_sigma: float = 0.0,
) -> ImageMetrics:
    """Place and score a raw reconstruction as PtychoPINN does, for continuity with its older tables.

    The scanned window is cut out of the truth, both are centre-cropped to their smaller sides, and what is left is
    scored by the ptychopinn convention (docs/metrics.md).

    Parameters
    ----------
    reconstruction : (h, w) complex
        As stitched, centred on the mean position.
    truth : (H, W) complex
        The whole object.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the truth, row first.
    crop_size : int
        Side M of the stitched crops, in pixels.
    phase_align : "plane" or "mean"
        What is removed from each wrapped phase separately.
    ms_ssim_sigma, frc_sigma : float
        Gaussian smoothing of the amplitudes in pixels, of the FRC curves in rings.

    Returns
    -------
    ImageMetrics
        Its window is in pixels of the truth.

    Raises
    ------
    DataError
        No window is left, shapes are under 11 pixels, values are not finite, or an image is zero throughout.
    """
    placed = place_by_ptychopinn(reconstruction, truth, positions_yx, crop_size=crop_size)
    metrics = score_by_ptychopinn(
        placed.reconstruction,
        placed.truth,
        phase_align=phase_align,
        ms_ssim_sigma=ms_ssim_sigma,
        frc_sigma=frc_sigma,
    )
    return replace(metrics, window=metrics.window.moved_by(placed.window.origin_yx))


def score_by_ptychopinn(
    reconstruction: np.ndarray,
    truth: np.ndarray,
    *,
    phase_align: PhaseAlignMethod = "plane",
    ms_ssim_sigma: float = 1.0,
    frc_sigma: float = 0.0,
) -> ImageMetrics:
    """Score two images of one shape; two pixels are trimmed from each side first.

    Parameters
    ----------
    reconstruction, truth : (H, W) complex
        Already cropped to each other.
    phase_align : "plane" or "mean"
        What is removed from each wrapped phase separately.
    ms_ssim_sigma, frc_sigma : float
        Gaussian smoothing of the amplitudes in pixels, of the FRC curves in rings.

    Raises
    ------
    DataError
        Shapes differ or are under 11 pixels, values are not finite, or an image is zero throughout.
    """
    images, scale = _prepared(reconstruction, truth, phase_align)
    height, width = images.amplitude.shape
    seen = seen_by_ptychopinn(images, ms_ssim_sigma=ms_ssim_sigma)
    ms_ssim = (_decimated_ms_ssim(*seen.ms_ssim[channel]) for channel in ("amplitude", "phase"))
    curves = (
        _legacy_curve(*seen.frc["amplitude"], frc_sigma),
        _legacy_curve(*seen.frc["phase"], frc_sigma),
    )
    errors = images.amplitude - images.true_amplitude, images.phase_error
    mse = [similarity.mean_squared_error(error) for error in errors]
    return ImageMetrics(
        convention="ptychopinn",
        mae=ChannelPair(*(similarity.mean_absolute_error(error) for error in errors)),
        mse=ChannelPair(*mse),
        psnr=ChannelPair(*(similarity.peak_signal_to_noise_db(m, data_range=_PEAK) for m in mse)),
        ssim=ChannelPair(
            _ssim(images.amplitude, images.true_amplitude, float(np.ptp(images.true_amplitude))),
            _ssim(*seen.ms_ssim["phase"], 1.0),
        ),
        ms_ssim=ChannelPair(*ms_ssim),
        frc50=ChannelPair(*(cutoffs.half.frequency for _, cutoffs in curves if cutoffs.half is not None)),
        frc1over7=ChannelPair(*(cutoffs.one_seventh.frequency for _, cutoffs in curves)),
        ms_ssim_scales=_n_scales(images.amplitude.shape),
        frc=_legacy_curves(curves, min(height, width)),
        window=Rectangle(_TRIM_PX, height + _TRIM_PX, _TRIM_PX, width + _TRIM_PX),
        ramp=PhaseRamp(0.0),
        amplitude_scale=scale,
        images=images,
        scored_share=images.amplitude.size / reconstruction.size,
        notes=_constant_notes(images),
    )


def seen_by_ptychopinn(images: ScoredImages, *, ms_ssim_sigma: float) -> SeenImages:
    """Return what MS-SSIM and the FRC of this convention see: smoothed amplitudes, central squares."""
    amplitudes, phases = (images.amplitude, images.true_amplitude), (images.phase, images.true_phase)
    side = min(images.amplitude.shape)
    smooth = [similarity.blurred(image, ms_ssim_sigma) for image in amplitudes]
    squares = [[centre_crop(image, (side, side)) for image in pair] for pair in (amplitudes, phases)]
    return SeenImages(
        ms_ssim={
            "amplitude": (smooth[0], smooth[1]),
            "phase": (_mapped_to_unit(phases[0]), _mapped_to_unit(phases[1])),
        },
        frc={"amplitude": (squares[0][0], squares[0][1]), "phase": (squares[1][0], squares[1][1])},
    )


def _prepared(
    reconstruction: np.ndarray, truth: np.ndarray, phase_align: PhaseAlignMethod
) -> tuple[ScoredImages, float]:
    pair = checked_pair(reconstruction, truth)
    shape = pair[0].shape
    if pair[1].shape != shape or min(shape) < _LEAST_SIDE_PX:
        raise DataError(
            f"reconstruction has shape {shape} and truth {pair[1].shape}; both must be equal and at least "
            f"{_LEAST_SIDE_PX} pixels a side for the ptychopinn convention."
        )
    inner = slice(_TRIM_PX, -_TRIM_PX)
    image, true = (part[inner, inner].astype(np.complex128) for part in pair)
    for name, part in (("reconstruction", image), ("truth", true)):
        if not np.isfinite(part).all() or not part.any():
            raise DataError(
                f"{name} is zero throughout or holds values that are not finite; it cannot be scored."
            )
    phases = [detrended_phase(np.angle(part), method=phase_align) for part in (image, true)]
    scale = float(np.abs(true).mean() / np.abs(image).mean())
    images = ScoredImages(scale * np.abs(image), np.abs(true), phases[0], phases[1], phases[0] - phases[1])
    return images, scale


def _mapped_to_unit(phase: np.ndarray) -> np.ndarray:
    return (phase + np.pi) / (2 * np.pi)


def _ssim(image: np.ndarray, truth: np.ndarray, data_range: float) -> float | None:
    if data_range == 0:
        return None
    return similarity.structural_similarity(image, truth, data_range=data_range)


def _n_scales(shape: tuple[int, ...]) -> int:
    """Return how many of the five scales, halved by decimation, still hold a 7x7 window."""
    side, scales = min(shape), 0
    while scales < len(similarity.MS_SSIM_WEIGHTS) and side >= similarity.SSIM_WINDOW_PX:
        scales, side = scales + 1, (side + 1) // 2
    return scales


def _decimated_ms_ssim(image: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the product over scales of mean SSIM to the power of the scale's weight."""
    data_range = max(float(np.ptp(image)), float(np.ptp(truth)))
    value = 1.0
    for level, weight in enumerate(similarity.MS_SSIM_WEIGHTS[: _n_scales(truth.shape)]):
        step = slice(None, None, 2**level)
        ssim = _ssim(image[step, step], truth[step, step], data_range)
        if ssim is None:
            return None
        value *= (ssim if ssim >= 0 else _LEAST_SSIM) ** weight
    return value


def _legacy_curve(first: np.ndarray, second: np.ndarray, sigma: float) -> tuple[np.ndarray, FrcCutoffs]:
    """Correlate two squares, modulus per ring; a ring without power in either image counts as 0."""
    rings, n_rings = _legacy_rings(first.shape[0])
    spectra = [np.fft.fftshift(np.fft.fft2(image)) for image in (first, second)]

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(rings.ravel(), weights=values.ravel(), minlength=n_rings)

    cross = spectra[0] * spectra[1].conj()
    power = np.sqrt(sums(np.abs(spectra[0]) ** 2) * sums(np.abs(spectra[1]) ** 2))
    modulus = np.hypot(sums(cross.real), sums(cross.imag))
    curve = np.divide(modulus, power, out=np.zeros(n_rings), where=power > 0)
    smooth, rings_axis = smoothed(curve, sigma), np.arange(n_rings, dtype=np.float64)
    half, one_seventh = (
        first_crossing(rings_axis, smooth, threshold, end=float(n_rings)) for threshold in (0.5, ONE_SEVENTH)
    )
    return curve, FrcCutoffs(half, one_seventh)


def _legacy_rings(side: int) -> tuple[np.ndarray, int]:
    k = np.arange(side) - side // 2
    rings = np.rint(np.hypot(k[:, None], k)).astype(np.int64)
    return rings, int(rings.max()) + 1


def _legacy_curves(curves: tuple[tuple[np.ndarray, FrcCutoffs], ...], side: int) -> FrcCurves:
    rings, n_rings = _legacy_rings(side)
    amplitude, phase = (FrcCurve(curve, cutoffs) for curve, cutoffs in curves)
    return FrcCurves(
        frequency=np.arange(n_rings, dtype=np.float64),
        unit="ring",
        n_pixels=np.bincount(rings.ravel(), minlength=n_rings),
        amplitude=amplitude,
        phase=phase,
    )


def _constant_notes(images: ScoredImages) -> tuple[str, ...]:
    if np.ptp(images.true_amplitude) > 0:
        return ()
    return ("The true amplitude is constant, so its SSIM is not defined in the ptychopinn convention.",)

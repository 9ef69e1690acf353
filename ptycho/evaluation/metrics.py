"""`compare_images`: every metric of a reconstruction against the truth, in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import DataError
from ptycho.evaluation import similarity
from ptycho.evaluation.alignment import AlignedPair, align_pair
from ptycho.evaluation.frc import MIN_SIDE_PX, apodised, compute_frc
from ptycho.evaluation.ptychopinn_convention import score_by_ptychopinn, seen_by_ptychopinn
from ptycho.evaluation.results import (
    METRIC_CONVENTIONS,
    ChannelPair,
    FrcCurve,
    FrcCurves,
    FrcCutoff,
    ImageMetrics,
    MetricConvention,
    ScoredImages,
    SeenImages,
)
from ptycho.image.phase import PhaseAlignMethod

# Single-precision files cannot hold structure finer than this share of their values.
_CONSTANT = 1e-6
_COLLAPSED = 0.01
_SMALL_SHARE = 0.5


def compare_images(
    reconstruction: np.ndarray,
    truth: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    phase_align: PhaseAlignMethod = "plane",
    ms_ssim_sigma: float = 1.0,
    frc_sigma: float = 0.0,
    convention: MetricConvention = "standard",
) -> ImageMetrics:
    """Score a reconstruction against the truth; formulas and references are in ``docs/metrics.md``.

    Parameters
    ----------
    reconstruction, truth : (H, W) complex
        In one pixel frame; registration, if wanted, comes before.
    mask : (H, W) bool, optional
        Covered pixels; default all. All metrics are taken on the largest rectangle that is covered but for
        small holes, and these are left out. The ptychopinn convention knows no coverage and scores the whole image.
    phase_align : "plane" or "mean"
        Remove a phase ramp or only a constant before phases are compared.
    ms_ssim_sigma : float
        Gaussian smoothing, in pixels, of both amplitudes (not phases) before MS-SSIM; 0 for none.
    frc_sigma : float
        Gaussian smoothing, in rings, of the FRC curves before their cut-offs; 0 for none.
    convention : "standard" or "ptychopinn"
        Textbook definitions, or those of PtychoPINN for continuity with older tables.

    Returns
    -------
    ImageMetrics
        A figure that is not defined (the truth is constant, the image too small) is None, with a note.

    Raises
    ------
    DataError
        Shapes differ, nothing is covered, values are not finite, an image is zero, a setting is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.evaluation import compare_images
    >>> y, x = np.mgrid[:40, :50] / 8
    >>> truth = (1 + 0.3 * np.sin(x + y)) * np.exp(0.4j * np.cos(x - 2 * y))
    >>> metrics = compare_images(0.5 * truth * np.exp(0.02j * x + 1j), truth)
    >>> round(metrics.ssim.phase, 6), round(metrics.amplitude_scale, 6)
    (1.0, 2.0)
    """
    if min(ms_ssim_sigma, frc_sigma) < 0:
        raise DataError(
            f"ms_ssim_sigma is {ms_ssim_sigma} and frc_sigma {frc_sigma}; neither may be negative."
        )
    if convention not in METRIC_CONVENTIONS:
        raise DataError(f"convention is {convention!r} but must be one of {', '.join(METRIC_CONVENTIONS)}.")
    if convention == "ptychopinn":
        return score_by_ptychopinn(
            reconstruction, truth, phase_align=phase_align, ms_ssim_sigma=ms_ssim_sigma, frc_sigma=frc_sigma
        )
    pair = align_pair(reconstruction, truth, mask=mask, phase_align=phase_align)
    amplitude, phase = _channels(pair.images)
    scores = _score(amplitude, sigma=ms_ssim_sigma), _score(phase, sigma=0.0)
    frc = _frc(pair.images, frc_sigma)
    notes = (*_window_notes(pair), *scores[0].notes, *scores[1].notes, *_frc_notes(pair, frc))
    collapsed = tuple(channel.name for channel in (amplitude, phase) if channel.has_collapsed)
    return _metrics(pair, scores, frc, collapsed, notes)


def seen_images(metrics: ImageMetrics, *, ms_ssim_sigma: float) -> SeenImages:
    """Return the arrays that MS-SSIM and the FRC of `metrics` were computed from.

    Parameters
    ----------
    metrics : ImageMetrics
    ms_ssim_sigma : float
        The same as in the call that returned them.

    Returns
    -------
    SeenImages
        Float64 arrays of one shape per metric.
    """
    if metrics.convention == "ptychopinn":
        return seen_by_ptychopinn(metrics.images, ms_ssim_sigma=ms_ssim_sigma)
    amplitude, phase = _channels(metrics.images)
    images = metrics.images
    return SeenImages(
        ms_ssim={"amplitude": amplitude.blurred(ms_ssim_sigma), "phase": phase.blurred(0.0)},
        frc={
            "amplitude": (apodised(images.amplitude), apodised(images.true_amplitude)),
            "phase": (apodised(images.phase), apodised(images.true_phase)),
        },
    )


@dataclass(frozen=True, eq=False)
class _Channel:
    """One real image and its truth; `unit` is the size of a value that counts as large."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    error: np.ndarray
    unit: float
    valid: np.ndarray | None

    @property
    def scored_error(self) -> np.ndarray:
        """The errors that count."""
        return self.error if self.valid is None else self.error[self.valid]

    @property
    def data_range(self) -> float:
        return float(np.ptp(self.truth))

    def blurred(self, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Return image and truth as MS-SSIM sees them."""
        return similarity.blurred(self.image, sigma), similarity.blurred(self.truth, sigma)

    @property
    def truth_is_constant(self) -> bool:
        return self.data_range <= _CONSTANT * self.unit

    @property
    def has_collapsed(self) -> bool:
        spread = float(self.image.std())
        return spread < _COLLAPSED * self.unit and spread < 0.5 * float(self.truth.std())


@dataclass(frozen=True)
class _Scores:
    mae: float
    mse: float
    psnr: float | None = None
    ssim: float | None = None
    ms_ssim: similarity.MsSsim | None = None
    notes: tuple[str, ...] = ()


def _channels(images: ScoredImages) -> tuple[_Channel, _Channel]:
    amplitude = _Channel(
        "amplitude",
        images.amplitude,
        images.true_amplitude,
        images.amplitude - images.true_amplitude,
        unit=float(images.true_amplitude.mean()),
        valid=images.valid,
    )
    # SSIM compares means too, so the zero of a phase has to be fixed: here, the truth's smallest value.
    floor = images.true_phase.min()
    phase = _Channel(
        "phase",
        images.phase - floor,
        images.true_phase - floor,
        images.phase_error,
        unit=1.0,
        valid=images.valid,
    )
    return amplitude, phase


def _score(channel: _Channel, *, sigma: float) -> _Scores:
    mae = similarity.mean_absolute_error(channel.scored_error)
    mse = similarity.mean_squared_error(channel.scored_error)
    if channel.truth_is_constant:
        note = f"The true {channel.name} is constant, so its PSNR, SSIM, MS-SSIM and FRC are not defined."
        return _Scores(mae, mse, notes=(note,))
    data_range = channel.data_range
    ssim = similarity.structural_similarity(
        channel.image, channel.truth, data_range=data_range, valid=channel.valid
    )
    image, truth = channel.blurred(sigma)
    ms_ssim = similarity.multi_scale_ssim(image, truth, data_range=float(np.ptp(truth)))
    psnr = similarity.peak_signal_to_noise_db(mse, data_range=data_range)
    return _Scores(mae, mse, psnr, ssim, ms_ssim, _similarity_notes(channel, ssim, ms_ssim))


def _similarity_notes(
    channel: _Channel, ssim: float | None, ms_ssim: similarity.MsSsim | None
) -> tuple[str, ...]:
    height, width = channel.truth.shape
    notes = []
    if ssim is None:
        notes.append(f"{height}x{width} scored pixels cannot hold the 7x7 window of SSIM ({channel.name}).")
    if ms_ssim is None:
        reason = (
            f"{height}x{width} scored pixels cannot hold its 11x11 window"
            if similarity.ms_ssim_scales(channel.truth.shape) == 0
            else "the truth varies by less than a percent of its value, too little for single precision"
        )
        notes.append(f"MS-SSIM of the {channel.name} is not defined: {reason}.")
    elif ms_ssim.scales < len(similarity.MS_SSIM_WEIGHTS):
        notes.append(
            f"MS-SSIM of the {channel.name} uses {ms_ssim.scales} of 5 scales; 5 need 161 pixels a side, "
            f"{min(height, width)} were scored."
        )
    if channel.has_collapsed:
        notes.append(f"The reconstructed {channel.name} is nearly constant: the model may have collapsed.")
    return tuple(notes)


def _frc(images: ScoredImages, frc_sigma: float) -> FrcCurves | None:
    if min(images.amplitude.shape) < MIN_SIDE_PX:
        return None
    return compute_frc(
        (images.amplitude, images.true_amplitude), (images.phase, images.true_phase), frc_sigma=frc_sigma
    )


def _frc_notes(pair: AlignedPair, frc: FrcCurves | None) -> tuple[str, ...]:
    if frc is None:
        height, width = pair.region.window.shape_yx
        return (f"{height}x{width} scored pixels are too few for the FRC, which needs {MIN_SIDE_PX} a side.",)
    return tuple(
        f"The FRC of the {name} starts below 0.5, so FRC50 is 0, and rises above it later: see the curve."
        for name, curve in (("amplitude", frc.amplitude), ("phase", frc.phase))
        if curve.cutoffs and curve.cutoffs.half == FrcCutoff(0.0) and np.nanmax(curve.correlation) > 0.5
    )


def _window_notes(pair: AlignedPair) -> tuple[str, ...]:
    notes, region = [], pair.region
    if region.has_holes:
        notes.append(
            f"{np.count_nonzero(~region.valid)} pixels in small holes of the coverage are left out; in these, MS-SSIM "
            "and FRC see the errors around them."
        )
    if region.share < _SMALL_SHARE:
        height, width = region.window.shape_yx
        notes.append(
            f"The largest rectangle without large holes, {height}x{width} pixels, holds {region.share:.0%} of the "
            "covered pixels."
        )
    return tuple(notes)


def _metrics(
    pair: AlignedPair,
    scores: tuple[_Scores, _Scores],
    frc: FrcCurves | None,
    collapsed: tuple[str, ...],
    notes: tuple[str, ...],
) -> ImageMetrics:
    amplitude, phase = scores
    ms_ssim = [None if score.ms_ssim is None else score.ms_ssim.value for score in scores]
    defined = amplitude.psnr is not None, phase.psnr is not None
    return ImageMetrics(
        convention="standard",
        mae=ChannelPair(amplitude.mae, phase.mae),
        mse=ChannelPair(amplitude.mse, phase.mse),
        psnr=ChannelPair(amplitude.psnr, phase.psnr),
        ssim=ChannelPair(amplitude.ssim, phase.ssim),
        ms_ssim=ChannelPair(*ms_ssim),
        frc50=_cutoff_pair(frc, "half", defined),
        frc1over7=_cutoff_pair(frc, "one_seventh", defined),
        ms_ssim_scales=max((score.ms_ssim.scales for score in scores if score.ms_ssim), default=0),
        frc=frc,
        window=pair.region.window,
        scored_share=pair.region.share,
        n_masked=int(np.count_nonzero(~pair.region.valid)),
        ramp=pair.ramp,
        amplitude_scale=pair.amplitude_scale,
        images=pair.images,
        collapsed=collapsed,
        notes=notes,
    )


def _cutoff_pair(frc: FrcCurves | None, name: str, defined: tuple[bool, bool]) -> ChannelPair:
    if frc is None:
        return ChannelPair(None, None)

    def cutoff(curve: FrcCurve, is_defined: bool) -> float | None:
        return getattr(curve.cutoffs, name).frequency if is_defined and curve.cutoffs else None

    return ChannelPair(cutoff(frc.amplitude, defined[0]), cutoff(frc.phase, defined[1]))

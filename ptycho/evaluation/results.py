"""What an evaluation returns: frozen figures with their units, and the images they were taken from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.image.cropping import Rectangle
from ptycho.image.phase import PhaseRamp

MetricConvention = Literal["standard", "ptychopinn"]
METRIC_CONVENTIONS: tuple[MetricConvention, ...] = ("standard", "ptychopinn")
FrequencyUnit = Literal["cycles/pixel", "ring"]


@dataclass(frozen=True)
class ChannelPair:
    """One figure for the amplitude and one for the phase; None where it is not defined (a note says why).

    Attributes
    ----------
    amplitude, phase : float or None
        In the unit of the figure.
    """

    amplitude: float | None
    phase: float | None


@dataclass(frozen=True)
class FrcCutoff:
    """Where a correlation curve first falls below a threshold.

    Attributes
    ----------
    frequency : float
        In the unit of the curve. 0 if even the first ring is below.
    beyond_last_ring : bool
        True if no ring is below; `frequency` is then the upper end of the curve.
    """

    frequency: float
    beyond_last_ring: bool = False

    @property
    def half_period_px(self) -> float:
        """Half a period at the cut-off, 1/(2 f), for f in cycles/pixel: 1 at Nyquist, infinite at 0."""
        return 1 / (2 * self.frequency) if self.frequency > 0 else float("inf")


@dataclass(frozen=True)
class FrcCutoffs:
    """Cut-offs of one curve; None where a threshold does not belong to it.

    Attributes
    ----------
    half : FrcCutoff or None
        Of the threshold 0.5, for an image against a truth.
    one_seventh : FrcCutoff
        Of 1/7, for half sets; against a truth for continuity with older tables alone.
    half_bit, one_bit : FrcCutoff or None
        Of the bit criteria: of half sets, or their equivalents against a truth.
    """

    half: FrcCutoff | None
    one_seventh: FrcCutoff
    half_bit: FrcCutoff | None = None
    one_bit: FrcCutoff | None = None


@dataclass(frozen=True, eq=False, repr=False)
class FrcCurve(OneLine):
    """Correlation per ring of one pair of images, as measured (before any smoothing).

    Attributes
    ----------
    correlation : (R,) float64
        Between -1 and 1; NaN where neither image has power.
    cutoffs : FrcCutoffs or None
        None if every ring is NaN.
    """

    correlation: np.ndarray
    cutoffs: FrcCutoffs | None


@dataclass(frozen=True, eq=False, repr=False)
class FrcCurves(OneLine):
    """Fourier ring correlation of amplitude, phase and complex field over common rings.

    Attributes
    ----------
    frequency : (R,) float64
        Middle of each ring, in `unit`.
    unit : "cycles/pixel" or "ring"
        Of `frequency` and of every cut-off; the ptychopinn convention counts rings.
    n_pixels : (R,) int64
        Fourier pixels in each ring.
    amplitude, phase : FrcCurve
        Curves of the two real images.
    field : FrcCurve or None
        Curve of the complex images; None in the ptychopinn convention.
    half_bit, one_bit : (R,) float64 or None
        Threshold curves: of half sets, or constant where one image is the truth.
    half_sets : bool
        Whether both images are reconstructions from halves of the data; else the second is the truth.
    """

    frequency: np.ndarray
    unit: FrequencyUnit
    n_pixels: np.ndarray
    amplitude: FrcCurve
    phase: FrcCurve
    field: FrcCurve | None = None
    half_bit: np.ndarray | None = None
    one_bit: np.ndarray | None = None
    half_sets: bool = False

    def cutoffs(self, name: str) -> tuple[FrcCutoff | None, FrcCutoff | None]:
        """Return one cut-off of the two real images.

        Parameters
        ----------
        name : {"half", "one_seventh", "half_bit", "one_bit"}
            A field of `FrcCutoffs`.

        Returns
        -------
        amplitude, phase : FrcCutoff or None
            None where the curve has none.
        """
        amplitude, phase = (
            None if curve.cutoffs is None else getattr(curve.cutoffs, name)
            for curve in (self.amplitude, self.phase)
        )
        return amplitude, phase


@dataclass(frozen=True, eq=False, repr=False)
class ScoredImages(OneLine):
    """The aligned real images that the metrics saw, all of one shape (h, w) float64.

    Attributes
    ----------
    amplitude, true_amplitude : (h, w)
        The first after scaling.
    phase, true_phase : (h, w)
        Radians, after ramp (or mean) removal.
    phase_error : (h, w)
        Radians: reconstruction minus truth, in [-π, π] in the standard convention.
    valid : (h, w) bool, optional
        False in small holes of the coverage, where errors are means of those around; None if there are none.
    """

    amplitude: np.ndarray
    true_amplitude: np.ndarray
    phase: np.ndarray
    true_phase: np.ndarray
    phase_error: np.ndarray
    valid: np.ndarray | None = None


ImagePair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class SeenImages(OneLine):
    """The very arrays that two metrics were computed from.

    Attributes
    ----------
    ms_ssim, frc : dict of str to ((h, w), (h, w)) float64
        For "amplitude" and "phase" the reconstruction and the truth; smoothed before MS-SSIM, faded out at
        the edges (or cut to a square) before the FRC's Fourier transform.
    """

    ms_ssim: dict[str, ImagePair]
    frc: dict[str, ImagePair]


@dataclass(frozen=True, eq=False, repr=False)
class ImageMetrics:
    """How a reconstruction compares with the truth.

    Attributes
    ----------
    convention : "standard" or "ptychopinn"
        By which definitions.
    mae, mse, psnr, ssim, ms_ssim : ChannelPair
        Phase errors in radians (MSE in rad²), PSNR in dB.
    frc50, frc1over7 : ChannelPair
        Cut-off frequencies at 0.5 and 1/7, in ``frc.unit``.
    ms_ssim_scales : int
        Scales that MS-SSIM used, of 5; 0 if the image is too small for any.
    frc : FrcCurves or None
        None if the image is too small.
    window : Rectangle
        The rectangle that was scored, in the frame of the images passed in.
    scored_share : float
        How many of the covered pixels were scored: less than 1 where the rectangle leaves some out.
    n_masked : int
        Pixels of the rectangle in small holes of the coverage, which were left out.
    ramp : PhaseRamp
        Phase of the reconstruction relative to the truth, which was removed.
    amplitude_scale : float
        Factor by which the reconstruction's amplitude was multiplied.
    images : ScoredImages
        What was scored.
    collapsed : tuple of str
        Channels ("amplitude", "phase") in which the reconstruction is nearly constant and the truth is not.
    notes : tuple of str
        One sentence for each figure that is missing or needs a caveat.
    """

    convention: MetricConvention
    mae: ChannelPair
    mse: ChannelPair
    psnr: ChannelPair
    ssim: ChannelPair
    ms_ssim: ChannelPair
    frc50: ChannelPair
    frc1over7: ChannelPair
    ms_ssim_scales: int
    frc: FrcCurves | None
    window: Rectangle
    ramp: PhaseRamp
    amplitude_scale: float
    images: ScoredImages
    scored_share: float = 1.0
    n_masked: int = 0
    collapsed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the figures in one line, amplitude / phase."""
        from ptycho.evaluation.showing import in_one_line

        return in_one_line(self)

    def _repr_html_(self) -> str:
        """Return the figures as a table, with what was scored, for notebooks."""
        from ptycho.evaluation.showing import as_html

        return as_html(self)


METRIC_NAMES = ("mae", "mse", "psnr", "ssim", "ms_ssim", "frc50", "frc1over7")

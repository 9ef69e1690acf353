"""How well an image agrees with itself: what can be said of its quality without a truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.evaluation.frc import MIN_SIDE_PX, half_set_frc
from ptycho.evaluation.results import FrcCurves
from ptycho.image.cropping import largest_rectangle
from ptycho.image.phase import PhaseAlignMethod


@dataclass(frozen=True, eq=False, kw_only=True)
class SelfConsistency:
    """How well the patches of one arm agree with each other; a repeated mistake agrees perfectly.

    Attributes
    ----------
    half_set_frc : FrcCurves or None
        Between the images of even and of odd patches; None if both cover too few pixels, or none alike.
    even, odd : (h, w) complex64
        Those images; 0 where not covered.
    overlap_variance : (h, w) float32
        Variance of the complex value over the patches on a pixel; NaN where no more than one lies.
    overlap_disagreement : float or None
        Root of the mean of that variance over the mean modulus of the image there; 0 for patches that agree.
        None where no two patches overlap.
    notes : tuple of str
        One sentence for each figure that is missing or needs a caveat.
    """

    half_set_frc: FrcCurves | None
    even: np.ndarray
    odd: np.ndarray
    overlap_variance: np.ndarray
    overlap_disagreement: float | None
    notes: tuple[str, ...] = ()


def measure_consistency(
    even: np.ndarray,
    odd: np.ndarray,
    *,
    image: np.ndarray,
    mask: np.ndarray,
    overlap_variance: np.ndarray,
    phase_align: PhaseAlignMethod = "plane",
    frc_sigma: float = 0.0,
) -> SelfConsistency:
    """Correlate two half-set images and sum up how much overlapping patches differ.

    Parameters
    ----------
    even, odd : (h, w) complex64
        Images from the patches of even and of odd index, in one frame.
    image : (h, w) complex64
        From all of them.
    mask : (h, w) bool
        Pixels that both halves cover.
    overlap_variance : (h, w) float32
        As `ptycho.stitching.Canvas.overlap_variance`.
    phase_align, frc_sigma
        As in `ptycho.evaluation.compare_images`.

    Returns
    -------
    SelfConsistency

    Raises
    ------
    DataError
        A value that both halves cover is not finite.
    """
    known = np.isfinite(overlap_variance)
    modulus = float(np.abs(image[known]).mean(dtype=np.float64)) if known.any() else 0.0
    spread = float(np.sqrt(overlap_variance[known].mean(dtype=np.float64))) if known.any() else 0.0
    side = min(largest_rectangle(mask).shape_yx) if mask.any() else 0
    notes = []
    if side < MIN_SIDE_PX:
        notes.append(
            f"The halves of even and odd patches share {side} covered pixels a side, too few for the half-set "
            f"FRC, which needs {MIN_SIDE_PX}."
        )
    if not modulus:
        notes.append(
            "No two patches overlap on a pixel that is not zero, so their disagreement is not known."
        )
    return SelfConsistency(
        half_set_frc=None
        if side < MIN_SIDE_PX
        else half_set_frc(even, odd, mask=mask, phase_align=phase_align, frc_sigma=frc_sigma),
        even=even,
        odd=odd,
        overlap_variance=overlap_variance,
        overlap_disagreement=spread / modulus if modulus else None,
        notes=tuple(notes),
    )

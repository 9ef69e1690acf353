"""How well an image agrees with itself: what can be said of its quality without a truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.errors import DataError
from ptycho.evaluation.frc import MIN_SIDE_PX, half_set_frc, mean_frc
from ptycho.evaluation.region import Region
from ptycho.evaluation.results import ChannelPair, FrcCurves, FrcCutoff
from ptycho.image.phase import PhaseAlignMethod
from ptycho.image.placed import PlacedImage


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SelfConsistency(OneLine):
    """How well the patches of one arm agree with each other; a repeated mistake agrees perfectly.

    Attributes
    ----------
    half_set_frc : FrcCurves or None
        Between two halves of the patches, the mean of all splits ring by ring, and the cut-offs of that mean; None
        if halves share too few pixels.
    split_frcs : tuple of FrcCurves
        Of each split.
    means_without_one : tuple of FrcCurves
        Mean of all splits but one, for each.
    halves : pair of (h, w) complex64
        The images of the first split; 0 where not covered.
    overlap_variance : (h, w) float32
        Variance of the complex value over the patches on a pixel; NaN where no more than one lies.
    overlap_disagreement : float or None
        Root of the mean of that variance over the mean modulus of the image there; 0 for patches that agree.
        None where no two patches overlap.
    notes : tuple of str
        One sentence for each figure that is missing or needs a caveat.
    """

    half_set_frc: FrcCurves | None
    split_frcs: tuple[FrcCurves, ...]
    means_without_one: tuple[FrcCurves, ...]
    halves: tuple[np.ndarray, np.ndarray]
    overlap_variance: np.ndarray
    overlap_disagreement: float | None
    notes: tuple[str, ...] = ()

    def cutoff_spread(self, name: str) -> ChannelPair:
        """Return how far a cut-off of the mean is a matter of the lot: its standard error.

        By jackknife, ``sqrt((k - 1)/k Σ (c_i - c̄)²)`` of the cut-offs of the k means without one split (Efron and
        Stein 1981, https://doi.org/10.1214/aos/1176345462). Those of single splits scatter more: a curve with the noise
        of one split crosses a threshold early.

        Parameters
        ----------
        name : {"one_seventh", "half_bit", "one_bit"}
            A field of `FrcCutoffs`.

        Returns
        -------
        ChannelPair
            In cycles/pixel; None with fewer than two splits, or where one has no such cut-off.
        """
        pairs = [curves.cutoffs(name) for curves in self.means_without_one]
        return ChannelPair(*(_spread([pair[channel] for pair in pairs]) for channel in (0, 1)))


def _spread(cutoffs: Sequence[FrcCutoff | None]) -> float | None:
    known = [cutoff.frequency for cutoff in cutoffs if cutoff is not None]
    n_splits = len(known)
    return float(np.std(known)) * (n_splits - 1) ** 0.5 if n_splits == len(cutoffs) > 1 else None


def measure_consistency(
    splits: Iterable[tuple[PlacedImage, PlacedImage]],
    *,
    image: np.ndarray,
    overlap_variance: np.ndarray,
    phase_align: PhaseAlignMethod = "plane",
    frc_sigma: float = 0.0,
) -> SelfConsistency:
    """Correlate half-set images and sum up how much overlapping patches differ.

    Parameters
    ----------
    splits : iterable of (PlacedImage, PlacedImage)
        Pairs of images (h, w), each from one half of the patches, in one frame; at least one pair.
    image : (h, w) complex64
        From all patches.
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
        There is no split, or a value that halves cover is not finite.
    """
    pairs = list(splits)
    if not pairs:
        raise DataError(
            "there is no split to correlate; pass at least one pair of images of half the patches."
        )
    # The same pixels for all splits, or their mean would be one of different rings.
    mask = np.logical_and.reduce([half.covered for pair in pairs for half in pair])
    known = np.isfinite(overlap_variance)
    modulus = float(np.abs(image[known]).mean(dtype=np.float64)) if known.any() else 0.0
    spread = float(np.sqrt(overlap_variance[known].mean(dtype=np.float64))) if known.any() else 0.0
    side = min(Region.of_mask(mask, (mask.shape[0], mask.shape[1])).window.shape_yx) if mask.any() else 0
    notes = []
    if side < MIN_SIDE_PX:
        notes.append(
            f"The halves of the patches share {side} covered pixels a side, too few for the half-set FRC, which "
            f"needs {MIN_SIDE_PX}."
        )
    if not modulus:
        notes.append(
            "No two patches overlap on a pixel that is not zero, so their disagreement is not known."
        )
    curves = tuple(
        half_set_frc(first.values, second.values, mask=mask, phase_align=phase_align, frc_sigma=frc_sigma)
        for first, second in (pairs if side >= MIN_SIDE_PX else ())
    )
    return SelfConsistency(
        half_set_frc=mean_frc(curves, frc_sigma=frc_sigma) if curves else None,
        split_frcs=curves,
        means_without_one=tuple(
            mean_frc(curves[:left] + curves[left + 1 :], frc_sigma=frc_sigma)
            for left in range(len(curves))
            if len(curves) > 1
        ),
        halves=(pairs[0][0].values, pairs[0][1].values),
        overlap_variance=overlap_variance,
        overlap_disagreement=spread / modulus if modulus else None,
        notes=tuple(notes),
    )

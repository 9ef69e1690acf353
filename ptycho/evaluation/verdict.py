"""What the measured frames themselves say of an image: figures with ends to their scale, and a word of diagnosis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.evaluation.misfit import Misfit

# Fit for use, by the two networks of the demo on scans of their own family, is up to 0.12 of what a constant leaves
# unexplained; the mildest of the faults that must be seen leaves 0.19 (docs/metrics.md has the figures).
EXPLAINED_BELOW = 0.15
# Below this many times what noise leaves, a misfit is not worth a word whatever its share.
NOISE_BELOW = 1.3
# Image and patches disagree where one leaves so many times more than the other.
APART = 3.0
# A fault of the detector: so large a share of the misfit lies in so few of its pixels, and there so large a share
# of the light is unexplained. A wrong object leaves hundredths of the light of a bright pixel unexplained.
REGION_SHARE, REGION_PIXELS, REGION_EXCESS = 0.5, 0.05, 0.3
# So small a share of the frames (one in any case) is to blame itself if the others are explained.
FEW_FRAMES = 0.05

Cause = Literal["explained", "frames", "network", "positions", "image", "detector", "unknown"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Verdict(OneLine):
    """Whether an image explains the measured frames; no truth is needed.

    Attributes
    ----------
    image : Misfit or None
        Of frames recomputed from the image, where the image covers what the probe lit; None if it does nowhere.
    patches : Misfit or None
        Of frames recomputed from each frame's own patch; None for a finished reconstruction, and for groups.
    constant : Misfit
        Of an object that is the same everywhere, the other end of the scale: all frames.
    judged_fraction : float
        Share of the scan's frames behind `image`.
    counted : bool
        Whether the frames are photon counts; if not, only R-factors are known.
    cause : {"explained", "frames", "network", "positions", "image", "detector", "unknown"}
        Which part is to blame, in a word that programs can read.
    diagnosis : str
        The same as a sentence.
    n_bad_frames : int
        How many frames are to blame where `cause` is "frames", else 0; the worst of them are the first of
        `worst_frames` of the image, or of the patches.
    notes : tuple of str
        One sentence for each figure that is missing or needs a caveat.
    """

    image: Misfit | None
    patches: Misfit | None
    constant: Misfit
    judged_fraction: float
    counted: bool
    cause: Cause
    diagnosis: str
    n_bad_frames: int = 0
    notes: tuple[str, ...] = ()


def pass_verdict(
    image: Misfit | None,
    patches: Misfit | None,
    constant: Misfit,
    *,
    n_frames: int,
    frame_numbers: np.ndarray | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Say what the misfits of one arm mean together.

    Parameters
    ----------
    image, patches : Misfit or None
        Of frames recomputed from the image and from patches.
    constant : Misfit
        Of frames recomputed from a constant object.
    n_frames : int
        Frames of the scan.
    frame_numbers : (n,) int, optional
        What the frames are called in the verdict (`ScanData.frame_numbers`); by default by their place in the scan.
    notes : tuple of str
        What has to be said of the figures.

    Returns
    -------
    Verdict
    """
    counted = constant.chi2 is not None
    if not counted:
        notes = (
            *notes,
            "The frames do not look like photon counts, so that only R-factors are known, and not what noise leaves of "
            "them.",
        )
    if frame_numbers is not None:
        constant = _renumbered(constant, frame_numbers)
        image, patches = (
            misfit if misfit is None else _renumbered(misfit, frame_numbers) for misfit in (image, patches)
        )
    bad = None if constant.chi2 is None else _bad_frames(image, patches, constant)
    cause, diagnosis = _diagnosis(image, patches, constant) if bad is None else ("frames", bad.blame())
    return Verdict(
        image=image,
        patches=patches,
        constant=constant,
        judged_fraction=0.0 if image is None else image.n_frames / n_frames,
        counted=counted,
        cause=cause,
        diagnosis=diagnosis,
        n_bad_frames=0 if bad is None else bad.count,
        notes=notes,
    )


def unexplained_share(misfit: Misfit, constant: Misfit) -> float:
    """Return what a prediction leaves unexplained of what a constant object does: 0 at best, 1 for no better.

    Parameters
    ----------
    misfit, constant : Misfit

    Returns
    -------
    float
        Independent of the dose; may be a little below 0 by chance. Infinite where a constant explains all.
    """
    if constant.unexplained <= 0:
        return 0.0 if misfit.unexplained <= 0 else float("inf")
    return misfit.unexplained / constant.unexplained


def region_of_detector(misfit: Misfit) -> tuple[int, int, int, int] | None:
    """Return the rows and columns of the few pixels that hold most of a misfit, None if it is spread out.

    Parameters
    ----------
    misfit : Misfit

    Returns
    -------
    (int, int, int, int) or None
        First and last row, first and last column.
    """
    share = np.where(misfit.detector_excess > REGION_EXCESS, misfit.detector_share, 0)
    worst = np.argsort(share, axis=None)[::-1][: max(1, int(REGION_PIXELS * share.size))]
    cumulative = np.cumsum(share.ravel()[worst], dtype=np.float64)
    if cumulative[-1] < REGION_SHARE:
        return None
    # Those that hold nine tenths of what these pixels hold: the others are strays.
    few = worst[: int(np.searchsorted(cumulative, 0.9 * cumulative[-1])) + 1]
    rows, columns = np.unravel_index(few, share.shape)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def _renumbered(misfit: Misfit, numbers: np.ndarray) -> Misfit:
    worst = tuple(replace(frame, index=int(numbers[frame.index])) for frame in misfit.worst_frames)
    return replace(misfit, worst_frames=worst)


def _diagnosis(image: Misfit | None, patches: Misfit | None, constant: Misfit) -> tuple[Cause, str]:
    known = [misfit for misfit in (image, patches) if misfit is not None]
    if not known or constant.chi2 is None:
        why = "no frame could be recomputed" if not known else "the frames are not photon counts"
        return "unknown", f"No verdict: {why}."
    if constant.chi2 < NOISE_BELOW:
        return "unknown", (
            "No verdict: a constant object explains the frames within what counting noise leaves, so they hold too few "
            "photons, or nothing, to tell an image by."
        )
    # The image is what is looked at: what single patches do worse, their mean has made up for.
    if not _is_high(known[0], constant):
        if image is None:
            return "explained", "The patches explain the frames."
        if patches is None or not _is_high(patches, constant):
            return "explained", "The image explains the frames."
        return "explained", (
            "The image explains the frames. Single patches do not: their mean, the image, is better than they are."
        )
    regions = [region_of_detector(misfit) for misfit in known]
    if all(regions):
        top, bottom, left, right = regions[0] or (0, 0, 0, 0)
        lies = (
            f"pixel ({top}, {left})"
            if (top, left) == (bottom, right)
            else f"rows {top} to {bottom}, columns {left} to {right}"
        )
        return "detector", (
            f"Most of the misfit lies in {lies} of the detector: suspect its mask, a beam stop or bad pixels."
        )
    return _blame(image, patches, constant)


@dataclass(frozen=True, eq=False)
class _BadFrames:
    """Few frames that make a figure high which is not without them."""

    count: int
    misfit: Misfit

    def blame(self) -> str:
        """Return what is to be said of them."""
        named = ", ".join(str(frame.index) for frame in self.misfit.worst_frames[: self.count])
        if self.count == 1:
            which = f"but 1, frame {named}"
        else:
            rest = self.count - len(self.misfit.worst_frames)
            which = f"but {self.count}: frames {named}" + (f" and {rest} more" if rest > 0 else "")
        return (
            f"All frames are explained {which}. Suspect these frames themselves: a shutter, the detector, or where "
            "they were taken."
        )


def _bad_frames(image: Misfit | None, patches: Misfit | None, constant: Misfit) -> _BadFrames | None:
    """Return the few frames without which no figure is high; None if none is high, or if they are not few."""
    high = [misfit for misfit in (image, patches) if misfit is not None and _is_high(misfit, constant)]
    found = [_fewest_to_leave_out(misfit, constant) for misfit in high]
    counts = [count for count in found if count is not None]
    if not found or len(counts) < len(found):
        return None
    worst = int(np.argmax(counts))
    return _BadFrames(counts[worst], high[worst])


def _fewest_to_leave_out(misfit: Misfit, constant: Misfit) -> int | None:
    """Return how many frames have to be left out for a figure that is not high; None if more than a few."""
    most = max(1, int(FEW_FRAMES * misfit.n_frames))
    for left in misfit.spread.without_worst():
        if left.n_left_out > most:
            return None
        # What is bright and wrong is so for a constant too, whose figure is the scale.
        scale = _unexplained_without(constant, left.n_left_out)
        if left.misfit <= NOISE_BELOW or left.unexplained <= EXPLAINED_BELOW * scale:
            return left.n_left_out
    return None


def _unexplained_without(misfit: Misfit, n_frames: int) -> float:
    unexplained = misfit.unexplained
    for left in misfit.spread.without_worst():
        if left.n_left_out > n_frames:
            break
        unexplained = left.unexplained
    return unexplained


def _blame(image: Misfit | None, patches: Misfit | None, constant: Misfit) -> tuple[Cause, str]:
    if patches is None:
        return "image", (
            "The image does not explain the frames: it is another object's, or its probe or positions are wrong."
        )
    if image is not None and (
        not _is_high(patches, constant) or image.unexplained > APART * patches.unexplained
    ):
        return "positions", (
            "Each patch explains its frame but the stitched image does not: suspect the positions or the stitching, "
            "or a probe that is not the one of this scan."
        )
    neither = (
        "Neither the image nor the patches explain" if image is not None else "The patches do not explain"
    )
    return "network", (
        f"{neither} the frames: suspect the network, the probe, or an object unlike those of its training."
    )


def _is_high(misfit: Misfit, constant: Misfit) -> bool:
    assert misfit.chi2 is not None  # counts are known
    return misfit.chi2 > NOISE_BELOW and unexplained_share(misfit, constant) > EXPLAINED_BELOW

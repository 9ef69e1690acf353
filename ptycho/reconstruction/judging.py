"""Frames recomputed from patches, from an image, from nothing: how well each explains what was measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autobatch import NoProgress, Progress
from ptycho.data.photons import photon_energy
from ptycho.data.scan import ScanData
from ptycho.diffraction import SplineObject, expected_amplitude, far_field_intensity, spread_under_frames
from ptycho.errors import DataError
from ptycho.evaluation import Misfit
from ptycho.evaluation.misfit import MisfitSums, MisfitTotals
from ptycho.image.placed import PlacedImage
from ptycho.models.patch_parts import PatchLight, PatchParts

# A frame is judged by an image that holds so much of what its probe lit.
COVERED_LIGHT = 0.99
# Their intermediate arrays stay in a processor's cache.
_FRAMES_AT_ONCE = 32


class PatchJudge:
    """Judges patches while each batch is in hand.

    Parameters
    ----------
    scan : ScanData
    light : PatchLight
        Recomputes frames from patches.
    """

    def __init__(self, scan: ScanData, light: PatchLight) -> None:
        """Judge nothing yet."""
        self._sums, self._light = misfit_sums(scan), light

    def add(self, indices: np.ndarray, frames: np.ndarray, parts: PatchParts) -> None:
        """Add the frames (b, N, N) float32 at `indices` (b,), and their patches, whole if not recomputed already."""
        if parts.frames is not None:
            self._sums.add(indices, frames, parts.frames)
            return
        for start in range(0, len(indices), _FRAMES_AT_ONCE):
            batch = slice(start, start + _FRAMES_AT_ONCE)
            self._sums.add(indices[batch], frames[batch], self._light.frames_of(parts.whole[batch]))

    def warm_up(self) -> None:
        """Load the compiled loop, without adding anything."""
        dark = np.zeros((1, *self._light.probe.shape), np.float32)
        self._sums.add(np.zeros(1, int), dark, dark)

    def result(self) -> Misfit | None:
        """Return the misfit of all patches so far."""
        return self._sums.result()

    def totals(self) -> MisfitTotals:
        """Return the numbers of all patches so far; those of other patches of the scan add up with them."""
        return self._sums.totals()


def misfit_of(scan: ScanData, totals: MisfitTotals) -> Misfit | None:
    """Return the misfit that `totals` of frames of `scan` amount to; None if there was none with light.

    Parameters
    ----------
    scan : ScanData
    totals : MisfitTotals

    Returns
    -------
    Misfit or None
    """
    sums = misfit_sums(scan)
    sums.restore(totals)
    return sums.result()


def misfit_sums(scan: ScanData) -> MisfitSums:
    """Return empty sums for the frames of `scan`.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    MisfitSums
    """
    mask = np.ones(scan.amplitude.shape[1:], bool) if scan.mask is None else scan.mask
    return MisfitSums(scan.positions_yx, mask, photon_energy=photon_energy(scan))


def judge_image(
    scan: ScanData,
    image: PlacedImage,
    *,
    probe: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Misfit | None:
    """Recompute frames from an image of the object and compare them with the measured ones.

    Only frames are judged of whose light the image covers 99 %; what little of it falls beside the image falls on
    the value of the nearest pixel.

    Parameters
    ----------
    scan : ScanData
    image : PlacedImage
        Its place must be known.
    probe : (N, N) complex64, optional
        The illumination that belongs to the image; by default the scan's.
    progress : Progress, optional
        Display that gets one stage, counting frames.

    Returns
    -------
    Misfit or None
        None if the image covers the light of no frame.

    Raises
    ------
    DataError
        It is not known where the image lies.
    """
    if image.origin_yx is None:
        raise DataError(
            "the image has origin_yx None but frames are recomputed from one whose place is known; register it first."
        )
    light = scan.probe if probe is None else probe
    sums = misfit_sums(scan)
    chosen = _covered_frames(scan, image, np.abs(light) ** 2)
    if not len(chosen):
        return None
    filled, _, origin_yx = spread_under_frames(
        image.values, image.covered, image.origin_yx, scan.positions_yx[chosen], scan.patch_size
    )
    spline = SplineObject.of(filled)
    with (progress or NoProgress()).stage("verdict", len(chosen), "frames") as stage:
        for indices in _batches(chosen):
            positions_yx = scan.positions_yx[indices] - origin_yx
            sums.add(indices, scan.frames(indices), expected_amplitude(spline, light, positions_yx))
            stage.advance(len(indices))
    return sums.result()


def judge_constant(scan: ScanData) -> Misfit:
    """Compare the frames with those of an object that is the same everywhere: the bad end of the scale.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    Misfit
    """
    sums = misfit_sums(scan)
    predicted = np.sqrt(far_field_intensity(scan.probe))
    for indices in _batches(np.arange(scan.n_frames)):
        frames = scan.frames(indices)
        sums.add(indices, frames, np.broadcast_to(predicted, frames.shape))
    constant = sums.result()
    assert constant is not None  # a scan has light, and a probe
    return constant


def _batches(indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), _FRAMES_AT_ONCE):
        yield indices[start : start + _FRAMES_AT_ONCE]


def _covered_frames(scan: ScanData, image: PlacedImage, light: np.ndarray) -> np.ndarray:
    """Return the frames of whose `light` (N, N) the image covers enough, (k,) int."""
    side = scan.patch_size
    covered = np.pad(image.covered, side)
    windows = np.lib.stride_tricks.sliding_window_view(covered, (side, side))
    corners = np.round(scan.positions_yx - np.asarray(image.origin_yx)).astype(int) + side - side // 2
    last = np.array(windows.shape[:2]) - 1
    # Frames that lie farther out see nothing of the image, nor do those at the border of its margin.
    rows, columns = np.clip(corners, 0, last).T
    shares = np.concatenate(
        [
            np.einsum("bij,ij->b", windows[rows[batch], columns[batch]], light, optimize=True)
            for batch in _batches(np.arange(scan.n_frames))
        ]
    )
    return np.flatnonzero(shares >= COVERED_LIGHT * light.sum())

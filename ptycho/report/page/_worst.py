"""Where the images of a saved run differ most from the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho._io.archive import open_archive
from ptycho.report.names import ALIGNED_FILE, RAW_FILE
from ptycho.report.page._layers import Plane, relative_plane
from ptycho.report.page._saved import SavedArm, SavedRun

_TILES = 8
# A tile's mean is known well enough from every k-th row and column.
_MOST_SIDE_PX = 800


@dataclass(frozen=True)
class WorstTile:
    """The part of an image in which its phase is off the most.

    Attributes
    ----------
    centre_yx, side_yx : (int, int)
        Row and column in pixels of the object; pixels a side.
    error, mean_error : float
        Mean modulus of the phase error in radians: in the tile, and over all that was scored.
    """

    centre_yx: tuple[int, int]
    side_yx: tuple[int, int]
    error: float
    mean_error: float


def worst_tiles(run: SavedRun) -> dict[str, WorstTile]:
    """Return the worst of 8 × 8 tiles of the scored rectangle of each arm; of those alone that were scored.

    Raises
    ------
    DataError
        A file of images is damaged.
    """
    path = next(
        (run.folder / name for name in (ALIGNED_FILE, RAW_FILE) if (run.folder / name).exists()), None
    )
    if path is None:
        return {}
    with open_archive(path) as archive:
        if "ground_truth_complex" not in archive:
            return {}
        found = {}
        for arm in run.arms:
            key, plane = f"{arm.array_prefix}_complex", relative_plane(arm.report.record("metrics"))
            shapes = [archive.shape(name) for name in (key, "ground_truth_complex") if name in archive]
            if plane is None or shapes != [run.shape_yx] * 2:
                continue
            tile = _worst(
                arm, archive.read_mapped(key), archive.read_mapped("ground_truth_complex"), plane, run
            )
            if tile is not None:
                found[arm.label] = tile
        return found


def _worst(
    arm: SavedArm, image: np.ndarray, truth: np.ndarray, plane: Plane, run: SavedRun
) -> WorstTile | None:
    """Return the worst tile of one image (h, w) complex."""
    box = _scored(arm, image.shape)
    step = max(-(-max(box[1] - box[0], box[3] - box[2]) // _MOST_SIDE_PX), 1)
    y, x = (np.arange(box[start], box[start + 1], step) for start in (0, 2))
    if min(y.size, x.size) < _TILES:
        return None
    part = np.s_[box[0] : box[1] : step, box[2] : box[3] : step]
    error = np.abs(np.angle(image[part] * np.conj(truth[part]) * plane.phasor(y, x).conj()))
    seen = np.where((image[part] != 0) & np.isfinite(error), error, np.nan)
    edges = [np.linspace(0, side, _TILES + 1).astype(int) for side in seen.shape]
    means = np.array(
        [
            [_mean(seen[top:bottom, left:right]) for left, right in zip(edges[1], edges[1][1:], strict=False)]
            for top, bottom in zip(edges[0], edges[0][1:], strict=False)
        ]
    )
    if np.isnan(means).all():
        return None
    row, column = np.unravel_index(np.nanargmax(means), means.shape)
    top, bottom = (int(edges[0][row + i]) * step for i in (0, 1))
    left, right = (int(edges[1][column + i]) * step for i in (0, 1))
    return WorstTile(
        (
            run.window[0] + box[0] + (top + bottom) // 2,
            run.window[2] + box[2] + (left + right) // 2,
        ),
        (bottom - top, right - left),
        float(means[row, column]),
        _mean(seen),
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _scored(arm: SavedArm, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the scored rectangle within an image of `shape`, all of it where the report has none."""
    names = ("row_start", "row_stop", "column_start", "column_stop")
    ends = (0, shape[0], 0, shape[1])
    found = [arm.report.whole("metrics", "scored_rectangle", name) for name in names]
    row_start, row_stop, column_start, column_stop = (
        end if each is None else each for each, end in zip(found, ends, strict=True)
    )
    inside = 0 <= row_start < row_stop <= shape[0] and 0 <= column_start < column_stop <= shape[1]
    return (row_start, row_stop, column_start, column_stop) if inside else ends

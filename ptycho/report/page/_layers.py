"""The images of a saved run, as many of their pixels as a page that is mailed may hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ptycho._io.archive import Archive, open_archive
from ptycho.errors import DataError
from ptycho.image.phase import PhaseRamp, fit_phase_ramp
from ptycho.report.names import ALIGNED_FILE, RAW_FILE
from ptycho.report.page._pixels import bands, block_means, encoded, rounded
from ptycho.report.page._record import Record
from ptycho.report.page._saved import SavedArm, SavedRun

TRUTH_LABEL = "Ground truth"
# Characters of Base64 for all images together: with everything else the page then stays below 25 MB.
MOST_CHARACTERS = 20_000_000
# What a value takes once it is compressed, measured on reconstructions: as it is, and rounded.
_EXACT_BYTES, _ROUNDED_BYTES = 3.4, 1.9
# Relative error 1.2e-4 and 2e-3: where a mean is shown, and for coverage and spread, no more digits mean anything.
_MEAN_BITS, _SIDE_BITS = 12, 8
_MISFIT_CELL_PX = 8
# A plane of phase is known well enough from so many pixels a side.
_FITTED_SIDE_PX = 1200


@dataclass(frozen=True)
class Plane:
    """A phase ``offset + slope_y · y + slope_x · x`` in radians, y and x in pixels of the window."""

    offset: float = 0.0
    slope_y: float = 0.0
    slope_x: float = 0.0

    def __add__(self, other: Plane) -> Plane:
        return Plane(self.offset + other.offset, self.slope_y + other.slope_y, self.slope_x + other.slope_x)

    def phasor(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return ``exp(i · plane)`` on the rows `y` and columns `x`."""
        return np.exp(1j * (self.offset + self.slope_y * y))[:, None] * np.exp(1j * self.slope_x * x)


@dataclass(frozen=True, eq=False)
class ShownImage:
    """One image of the page: an arm or the truth.

    Attributes
    ----------
    label : str
    is_truth : bool
    layers : dict of str to str
        Of ``amplitude``, ``phase``, ``coverage``, ``spread``, ``misfit``: encoded float32, NaN where nothing is known.
        Amplitude and phase are those of the file.
    plane : Plane
        What is taken off the phase where it is shown.
    amplitude_scale : float
        Factor on the amplitude where it is shown.
    """

    label: str
    is_truth: bool
    layers: dict[str, str]
    plane: Plane
    amplitude_scale: float


@dataclass(frozen=True, eq=False)
class ImageSet:
    """All images of the page on one grid.

    Attributes
    ----------
    images : tuple of ShownImage
        The arms in order, the truth last.
    shape_yx : (int, int)
        Of a layer.
    block : int
        Pixels of the file that became one, a side: 1 for images as they are.
    source : str
        Name of the file that they are from; "" without images.
    """

    images: tuple[ShownImage, ...] = ()
    shape_yx: tuple[int, int] = (0, 0)
    block: int = 1
    source: str = ""

    @property
    def n_characters(self) -> int:
        """Length of all layers."""
        return sum(len(layer) for image in self.images for layer in image.layers.values())


def read_images(run: SavedRun, *, most_characters: int = MOST_CHARACTERS) -> ImageSet:
    """Read the images of a run in the least blocks that fit into `most_characters`.

    Parameters
    ----------
    run : SavedRun
    most_characters : int
        Upper limit of the encoded images together.

    Raises
    ------
    DataError
        A file is damaged, or holds images of another shape than the report says.
    """
    aligned, raw = run.folder / ALIGNED_FILE, run.folder / RAW_FILE
    main = aligned if aligned.exists() else raw
    if not main.exists():
        return ImageSet()
    block = _first_block(run, most_characters)
    while True:
        found = _read_in_blocks(run, main, raw if raw.exists() else None, block)
        if found.n_characters <= most_characters or block >= max(run.shape_yx):
            return found
        grown = math.ceil(block * math.sqrt(found.n_characters / most_characters))
        block = max(block + 1, grown)


def small_images(run: SavedRun, *, most_side_px: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return amplitude and phase of every arm as shown, as means of blocks; nothing if the run kept no images.

    Parameters
    ----------
    run : SavedRun
    most_side_px : int
        The longer side is at most so long.

    Returns
    -------
    dict of label to (amplitude, phase)
        Float32, NaN where nothing was reconstructed.

    Raises
    ------
    DataError
        As `read_images`.
    """
    path = next(
        (run.folder / name for name in (ALIGNED_FILE, RAW_FILE) if (run.folder / name).exists()), None
    )
    if path is None:
        return {}
    with open_archive(path) as archive:
        reader = _Reader(run, archive, -(-max(run.shape_yx) // most_side_px))
        arms = [arm for arm in run.arms if f"{arm.array_prefix}_complex" in archive]
        return {arm.label: reader.small(arm) for arm in arms}


def _first_block(run: SavedRun, most_characters: int) -> int:
    """Return the least side of a block for which the estimated length fits."""
    n_px = run.shape_yx[0] * run.shape_yx[1]
    n_main, n_side = 2 * (len(run.arms) + 1), 2 * len(run.arms)
    exact = 4 / 3 * n_px * (n_main * _EXACT_BYTES + n_side)
    if exact <= most_characters:
        return 1
    means = 4 / 3 * n_px * (n_main * _ROUNDED_BYTES + n_side)
    return max(2, math.ceil(math.sqrt(means / most_characters)))


def _read_in_blocks(run: SavedRun, main: Path, raw: Path | None, block: int) -> ImageSet:
    with open_archive(main) as archive:
        reader = _Reader(run, archive, block)
        truth = reader.truth()
        images = [reader.arm(arm, truth) for arm in run.arms if f"{arm.array_prefix}_complex" in archive]
    if raw is not None:
        with open_archive(raw) as archive:
            side = _Reader(run, archive, block)
            by_label = {arm.label: arm for arm in run.arms}
            images = [
                replace(image, layers=image.layers | side.side_layers(by_label[image.label]))
                for image in images
            ]
    images += [] if truth is None else [truth]
    shape = (-(-run.shape_yx[0] // block), -(-run.shape_yx[1] // block))
    return ImageSet(tuple(images), shape, block, main.name)


class _Reader:
    """Reads the images of one open archive in blocks."""

    def __init__(self, run: SavedRun, archive: Archive, block: int) -> None:
        self._run, self._archive, self._block = run, archive, block

    def truth(self) -> ShownImage | None:
        if "ground_truth_complex" not in self._archive:
            return None
        plane = self._own_plane("ground_truth")
        return ShownImage(TRUTH_LABEL, True, self._fields("ground_truth", plane), plane, 1.0)

    def arm(self, arm: SavedArm, truth: ShownImage | None) -> ShownImage:
        metrics = arm.report.record("metrics")
        relative = relative_plane(metrics)
        if truth is None or relative is None:
            plane, scale = self._own_plane(arm.array_prefix), 1.0
        else:
            plane = relative + truth.plane
            scale = metrics.number("amplitude_scale") or 1.0
        return ShownImage(arm.label, False, self._fields(arm.array_prefix, plane), plane, scale)

    def small(self, arm: SavedArm) -> tuple[np.ndarray, np.ndarray]:
        # Each without its own plane, so that runs without a truth can stand beside others.
        plane = self._own_plane(arm.array_prefix)
        amplitude, phase = self._mean_fields(arm.array_prefix, plane)
        middle = (self._block - 1) / 2
        y, x = (np.arange(side) * self._block + middle for side in phase.shape)
        return amplitude, np.angle(np.exp(1j * phase) * plane.phasor(y, x).conj()).astype(np.float32)

    def side_layers(self, arm: SavedArm) -> dict[str, str]:
        prefix = arm.array_prefix
        layers = {}
        for name, key, convert in (
            ("coverage", f"{prefix}_coverage", lambda values: np.where(values > 0, values, np.nan)),
            ("spread", f"{prefix}_overlap_variance", lambda values: np.sqrt(np.maximum(values, 0))),
        ):
            if key in self._archive:
                layers[name] = encoded(rounded(self._means(key, convert), _SIDE_BITS))
        if f"{prefix}_misfit_image_object" in self._archive:
            layers["misfit"] = encoded(rounded(self._misfit(prefix), _MEAN_BITS))
        return layers

    def _fields(self, prefix: str, plane: Plane) -> dict[str, str]:
        if self._block == 1:
            covered = self._covered(prefix)
            pair = (self._array(f"{prefix}_{name}", "f") for name in ("amplitude", "phase"))
            amplitude, phase = (np.where(covered, values, np.float32(np.nan)) for values in pair)
        else:
            amplitude, phase = (rounded(values, _MEAN_BITS) for values in self._mean_fields(prefix, plane))
        return {"amplitude": encoded(amplitude), "phase": encoded(phase)}

    def _mean_fields(self, prefix: str, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
        """Return means of the modulus, and the phase of the mean, with the plane put back at each block's centre."""
        field, covered = self._array(f"{prefix}_complex", "c"), self._covered(prefix)
        amplitude, phase = [], []
        x = np.arange(field.shape[1])
        centre_x = block_means(x[None, :], np.ones((1, x.size), bool), self._block)[0]
        for rows in bands(*self._run.shape_yx, self._block):
            y = np.arange(rows.start, rows.stop)
            flat = field[rows] * plane.phasor(y, x).conj()
            mean = block_means(flat, covered[rows], self._block)
            centre_y = block_means(y[:, None], np.ones((y.size, 1), bool), self._block)[:, 0]
            amplitude.append(block_means(np.abs(field[rows]), covered[rows], self._block))
            phase.append(
                np.where(np.isnan(amplitude[-1]), np.nan, np.angle(mean * plane.phasor(centre_y, centre_x)))
            )
        return np.concatenate(amplitude).astype(np.float32), np.concatenate(phase).astype(np.float32)

    def _means(self, key: str, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        values, parts = self._array(key, "f"), []
        for rows in bands(*self._run.shape_yx, self._block):
            part = convert(values[rows].astype(np.float64))
            parts.append(block_means(part, np.isfinite(part), self._block))
        return np.concatenate(parts).astype(np.float32)

    def _misfit(self, prefix: str) -> np.ndarray:
        """Return the misfit on the grid of the layers: each block has that of the cell that its centre lies in."""
        cells = self._checked(f"{prefix}_misfit_image_object", "f", None)
        origin = np.zeros(2)
        if f"{prefix}_misfit_image_origin_yx" in self._archive:
            origin = self._checked(f"{prefix}_misfit_image_origin_yx", "f", (2,))
        height, width = self._run.shape_yx
        starts = self._run.window[0], self._run.window[2]
        index, inside = [], []
        for axis, side in enumerate((height, width)):
            centres = np.arange(0, side, self._block) + (self._block - 1) / 2
            cell = np.floor((starts[axis] + centres - origin[axis]) / _MISFIT_CELL_PX).astype(np.int64)
            inside.append((cell >= 0) & (cell < cells.shape[axis]))
            index.append(np.clip(cell, 0, cells.shape[axis] - 1))
        found = cells[np.ix_(*index)]
        return np.where(np.logical_and.outer(*inside), found, np.nan).astype(np.float32)

    def _own_plane(self, prefix: str) -> Plane:
        """Return the plane (or mean) of an image's own phase, from every k-th row and column."""
        step = -(-max(self._run.shape_yx) // _FITTED_SIDE_PX)
        covered = self._covered(prefix)[::step, ::step]
        field = np.where(covered, self._array(f"{prefix}_complex", "c")[::step, ::step], 0)
        if not np.isfinite(field).all() or not field.any():
            return Plane()
        method = "mean" if self._run.report.text("settings", "phase_align") == "mean" else "plane"
        ramp = fit_phase_ramp(field.astype(np.complex128), method=method)
        slope_y, slope_x = (slope / step for slope in ramp.slope_yx)
        centre_yx = ((side - 1) / 2 * step for side in field.shape)
        return _plane(replace(ramp, slope_yx=(slope_y, slope_x)), *centre_yx)

    def _covered(self, prefix: str) -> np.ndarray:
        key = f"{prefix}_covered"
        return self._array(key, "b") if key in self._archive else np.ones(self._run.shape_yx, bool)

    def _array(self, key: str, kind: str) -> np.ndarray:
        return self._checked(key, kind, self._run.shape_yx)

    def _checked(self, key: str, kind: str, shape: tuple[int, ...] | None) -> np.ndarray:
        self._archive.require([key])
        found, dtype = self._archive.shape(key), self._archive.dtype(key)
        fits = (len(found) == 2 and 0 not in found) if shape is None else found == shape
        if not fits or dtype.kind != kind:
            wanted = "a table of numbers" if shape is None else f"{shape}"
            raise DataError(
                f"{key} in {self._archive.name} is {dtype} {found} but must be of kind {kind!r} and {wanted}; copy the "
                "folder again from the run that wrote it."
            )
        return self._archive.read_mapped(key)


def relative_plane(metrics: Record) -> Plane | None:
    """Return the ramp between an arm and the truth in pixels of the window, None for an arm that was not scored."""
    offset, slope = (
        metrics.number("phase_ramp", "offset_rad"),
        metrics.pair("phase_ramp", "slope_yx_rad_per_px"),
    )
    ends = [
        metrics.number("scored_rectangle", name)
        for name in ("row_start", "row_stop", "column_start", "column_stop")
    ]
    if offset is None or slope is None or metrics.text("convention") != "standard":
        return None
    row_start, row_stop, column_start, column_stop = (0.0 if end is None else end for end in ends)
    return _plane(
        PhaseRamp(offset, slope), (row_start + row_stop - 1) / 2, (column_start + column_stop - 1) / 2
    )


def _plane(ramp: PhaseRamp, centre_y: float, centre_x: float) -> Plane:
    slope_y, slope_x = ramp.slope_yx
    return Plane(ramp.offset - slope_y * centre_y - slope_x * centre_x, slope_y, slope_x)

"""`ScanData`: one ptychographic scan in memory, checked once and never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ptycho._io.believing import are_believed
from ptycho._io.mapped import blocks_of, is_mapped, rows_of
from ptycho._io.row_store import made_of, some_rows
from ptycho._io.stored import StoredRows
from ptycho.data.frame_numbers import skipping
from ptycho.data.geometry import ScanGeometry
from ptycho.errors import DataError


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ScanData:
    """Diffraction frames with the positions at which they were taken; its arrays are read-only.

    Positions, probe and mask are copies; frames, labels and object are views of the arrays they were made from.

    Positions are patch centres in the pixel frame of the object (origin at the centre of its pixel
    (0, 0), y down, x right). A patch of N pixels centred at ``c`` covers rows ``c - N/2 … c + N/2 - 1``.

    Attributes
    ----------
    amplitude : (n, N, N) float32
        Diffraction amplitude (square root of the photon count, up to one factor), DC term at pixel
        (N/2, N/2). Frames too many for memory stay in their file: `frames` reads some of them, and so does
        indexing; whatever else is done as to an array takes memory for all.
    positions_yx : (n, 2) float64
        Patch centres in pixels, row first.
    probe : (N, N) complex64
        Illumination at the object, in the units of `amplitude`: an empty patch diffracts to
        ``|FFT(probe)| / N``.
    object_guess : (H, W) complex64, optional
        Ground truth or a finished reconstruction whose pixel (0, 0) is the origin of the positions.
    labels : (n, N, N) complex64, optional
        The object patch under each frame, for supervised training.
    scan_index : (n,) int64, optional
        The scan that each frame came from.
    frame_numbers : (n,) int64, optional
        The number of each frame in the scan that these were selected from; None for frames 0 … n - 1.
    mask : (N, N) bool, optional
        True where a pixel of the frames counts. The others, dead, hot or hidden, are zero in `amplitude`;
        `with_mask` makes them so. Without a mask all count.
    geometry : ScanGeometry, optional
        Lengths in SI units, where they are known.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.data import ScanData
    >>> amplitude = np.sqrt(np.random.default_rng(1).poisson(5.0, (3, 64, 64)))
    >>> positions_yx = np.array([[40.0, 40.0], [40.0, 52.5], [47.0, 45.0]])
    >>> scan = ScanData(amplitude=amplitude, positions_yx=positions_yx, probe=np.ones((64, 64)))
    >>> scan.n_frames, scan.patch_size, scan.amplitude.dtype.name
    (3, 64, 'float32')
    >>> scan.select([0, 2]).positions_yx
    array([[40., 40.],
           [47., 45.]])
    """

    amplitude: np.ndarray
    positions_yx: np.ndarray
    probe: np.ndarray
    object_guess: np.ndarray | None = None
    labels: np.ndarray | None = None
    scan_index: np.ndarray | None = None
    frame_numbers: np.ndarray | None = None
    mask: np.ndarray | None = None
    geometry: ScanGeometry | None = None

    def __post_init__(self) -> None:
        """Convert to the contract's dtypes and refuse what breaks its shapes or is not finite."""
        for name, dtype in _DTYPES.items():
            value = getattr(self, name)
            if value is not None:
                array = _as_array(value, dtype, name)
                # What is small is copied, so that its owner's changes do not reach it past the checks.
                owned = array.copy() if name in _COPIED and array is value else array
                object.__setattr__(self, name, read_only(owned))
        _check_shapes(self)
        _check_values(self)
        _check_mask(self)
        if not isinstance(self.geometry, ScanGeometry | None):
            raise DataError(
                f"geometry is a {type(self.geometry).__name__} but must be None or a ScanGeometry; pass "
                "ptycho.data.ScanGeometry(object_pixel_m=…)."
            )

    def __repr__(self) -> str:
        """Return in one line what is there."""
        from ptycho.data._showing import in_one_line

        return in_one_line(self)

    def _repr_html_(self) -> str:
        """Return a table with pictures, for notebooks."""
        from ptycho.data._showing import as_html

        return as_html(self)

    @property
    def n_frames(self) -> int:
        """Number of diffraction frames."""
        return self.amplitude.shape[0]

    @property
    def patch_size(self) -> int:
        """Side N of a frame, of the probe and of a patch, in pixels."""
        return self.amplitude.shape[-1]

    def frames(self, indices: slice | ArrayLike) -> np.ndarray:
        """Return some of the frames in memory: ``amplitude[indices]``, whatever becomes of their file meanwhile.

        Where frames lie in a file, reading beyond the end that another program has cut it to would end the process.

        Parameters
        ----------
        indices : slice, (…) int or (n,) bool

        Returns
        -------
        (…, N, N) float32

        Raises
        ------
        DataError
            The file no longer holds these frames.
        """
        return rows_of(self.amplitude, indices)

    def select(self, indices: ArrayLike) -> ScanData:
        """Return the frames at `indices`, in that order, with probe and object unchanged; they keep their numbers.

        The chosen frames are copied when `indices` is an array, as NumPy does.

        Parameters
        ----------
        indices : (m,) int, or a mask (n,) bool
            Which frames.

        Returns
        -------
        ScanData
            m frames.
        """
        chosen = np.asarray(indices)
        per_frame = {
            name: some_rows(getattr(self, name), chosen, what=f"{name} of a part of the scan")
            for name in _PER_FRAME
            if getattr(self, name) is not None
        }
        numbers = np.arange(self.n_frames) if self.frame_numbers is None else self.frame_numbers
        return replace(self, **per_frame, frame_numbers=numbers[chosen])

    @property
    def n_masked(self) -> int:
        """Number of pixels of a frame that do not count."""
        return 0 if self.mask is None else int(self.mask.size - np.count_nonzero(self.mask))

    def with_mask(self, mask: ArrayLike) -> ScanData:
        """Let only some pixels of the frames count; the others are zero in a copy of the amplitude.

        Parameters
        ----------
        mask : (N, N) bool
            True where a pixel counts.

        Returns
        -------
        ScanData

        Raises
        ------
        DataError
            The mask has another shape, or leaves no pixel.
        """
        kept = _as_array(mask, np.bool_, "mask")
        if kept.shape != self.amplitude.shape[1:]:
            # The constructor says what is wrong with it.
            return replace(self, mask=kept)
        if isinstance(self.amplitude, StoredRows):
            return replace(self, amplitude=self.amplitude.with_zeros(kept), mask=kept)
        return replace(self, amplitude=self._changed(lambda frames: frames * kept), mask=kept)

    def _changed(self, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return a copy of all frames, each block of them changed."""
        changed = ((block, change(frames)) for block, frames in blocks_of(self.amplitude))
        return made_of(self.amplitude.shape, np.float32, changed, what="the scan, changed,")

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays, and so about of its file."""
        return sum(getattr(self, name).nbytes for name in _DTYPES if getattr(self, name) is not None)

    @property
    def normalisation(self) -> float:
        """Factor by which `normalised` multiplies amplitudes and probe."""
        return float((self.patch_size / 2) / np.sqrt(self.mean_frame_energy))

    def normalised(self) -> ScanData:
        """Return the scan scaled so that the mean over frames of Σ amplitude² is (N/2)².

        The probe is scaled by the same factor, so that the physics between the two is kept.

        Returns
        -------
        ScanData
            Amplitude (n, N, N) float32 and probe (N, N) complex64 in the units that networks take.
        """
        factor = self.normalisation
        return replace(
            self,
            amplitude=self._changed(lambda frames: frames * np.float32(factor)),
            probe=self.probe * np.complex64(factor),
        )

    @property
    def frame_energies(self) -> np.ndarray:
        """Σ amplitude² of each frame, (n,) float64, in the file's own units."""
        if isinstance(self.amplitude, StoredRows):
            return self.amplitude.summary.energies
        energies = np.empty(self.n_frames)
        for block, frames in blocks_of(self.amplitude):
            energies[block] = np.einsum("nij,nij->n", frames, frames, dtype=np.float64)
        return energies

    @property
    def mean_frame_energy(self) -> float:
        """Mean over frames of Σ amplitude², in the file's own units, `bright_outliers` left out."""
        energies = self.frame_energies
        return float(np.delete(energies, bright_among(energies)).mean())

    @property
    def bright_outliers(self) -> np.ndarray:
        """Frames with more than 20 times the median energy of those that are not dark, (k,) int64.

        One of them would set the scale of all others. Where a fifth of the frames or more are so bright none is
        an outlier: it is the others that lack light.
        """
        return bright_among(self.frame_energies)


# A beam that is so much brighter for one frame is none that a sample makes …
_BRIGHT_OUTLIER = 20.0
# … but where many frames are, the others lack light.
_MOST_BRIGHT = 0.2


def bright_among(energies: np.ndarray) -> np.ndarray:
    """Return which of the energies (n,) of frames are beyond all others, (k,) int64: few, or none."""
    lit = energies[energies > 0]
    if not lit.size:
        return np.array([], np.int64)
    bright = np.flatnonzero(energies > _BRIGHT_OUTLIER * np.median(lit))
    return bright if bright.size <= max(1.0, _MOST_BRIGHT * lit.size) else bright[:0]


_DTYPES = {
    "amplitude": np.float32,
    "positions_yx": np.float64,
    "probe": np.complex64,
    "object_guess": np.complex64,
    "labels": np.complex64,
    "scan_index": np.int64,
    "frame_numbers": np.int64,
    "mask": np.bool_,
}
_COPIED = ("positions_yx", "probe", "scan_index", "frame_numbers", "mask")
_PER_FRAME = ("amplitude", "positions_yx", "labels", "scan_index")


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view of `array` through which it cannot be changed, itself if it is one; nothing is copied."""
    if isinstance(array, StoredRows) or not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _as_array(value: ArrayLike, dtype: type, name: str) -> np.ndarray:
    if isinstance(value, StoredRows):
        # Frames alone are such, and made as they have to be.
        return value  # pyright: ignore[reportReturnType]
    array = np.asarray(value)
    if np.iscomplexobj(array) and not np.issubdtype(dtype, np.complexfloating):
        raise DataError(
            f"{name} is {array.dtype} but must be real ({np.dtype(dtype)}); pass its modulus or real part."
        )
    if array.dtype.kind not in "biufc":
        raise DataError(f"{name} has dtype {array.dtype} but must be numeric ({np.dtype(dtype)}).")
    if array.dtype == dtype or not is_mapped(array):
        return array.astype(dtype, copy=False)
    return made_of(array.shape, dtype, blocks_of(array), what=f"{name} as {np.dtype(dtype)}")


def _check_shapes(scan: ScanData) -> None:
    shape = scan.amplitude.shape
    if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
        raise DataError(
            f"amplitude has shape {shape} but must be (n, N, N), n at least 1; "
            "crop or pad the frames to squares."
        )
    n, side = shape[0], shape[1]
    expected = {
        "positions_yx": (n, 2),
        "probe": (side, side),
        "labels": (n, side, side),
        "scan_index": (n,),
        "frame_numbers": (n,),
        "mask": (side, side),
    }
    for name, wanted in expected.items():
        value = getattr(scan, name)
        if value is not None and value.shape != wanted:
            hint = "; pass one probe mode" if name == "probe" and value.ndim > 2 else ""
            raise DataError(
                f"{name} has shape {value.shape} but {wanted} is needed to match "
                f"the {n} amplitude frames of {side}x{side} pixels{hint}."
            )
    if scan.object_guess is not None and (scan.object_guess.ndim != 2 or 0 in scan.object_guess.shape):
        raise DataError(f"object_guess has shape {scan.object_guess.shape} but must be a 2-D image (H, W).")


def _check_values(scan: ScanData) -> None:
    # Extremes per frame: NaN and infinity show in them, and no array of the frames' size is made.
    lowest, highest = (np.ones(1), np.ones(1)) if are_believed() else _extremes(scan.amplitude)
    _refuse_not_finite("amplitude", np.isfinite(lowest) & np.isfinite(highest))
    for name in _DTYPES.keys() - {"amplitude"}:
        value = getattr(scan, name)
        if value is not None:
            finite = [np.isfinite(rows).reshape(len(rows), -1).all(axis=1) for _, rows in blocks_of(value)]
            _refuse_not_finite(name, np.concatenate(finite))
    if lowest.min() < 0:
        raise DataError(
            f"amplitude has negative values (smallest {lowest.min():g}, frame {lowest.argmin()}) but is the "
            "square root of a count; if the frames are counts less a dark level, store "
            "numpy.sqrt(numpy.clip(frames, 0, None)), and else remove the sign before storing them."
        )
    if not highest.any():
        raise DataError(
            "every amplitude frame is zero but a scan needs signal; check the source of the frames."
        )
    if not scan.probe.any():
        raise DataError("the probe is zero everywhere but must light the object; store the probe estimate.")


def _extremes(amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each frame, (n,) each."""
    if isinstance(amplitude, StoredRows):
        return amplitude.summary.lowest, amplitude.summary.highest
    lowest, highest = np.empty((2, len(amplitude)), np.float32)
    for block, frames in blocks_of(amplitude):
        lowest[block], highest[block] = frames.min(axis=(1, 2)), frames.max(axis=(1, 2))
    return lowest, highest


def _is_lit(amplitude: np.ndarray) -> np.ndarray:
    """Return where any frame is not 0, (N, N) bool."""
    if isinstance(amplitude, StoredRows):
        return amplitude.summary.is_lit
    is_lit = np.zeros(amplitude.shape[1:], bool)
    for _, frames in blocks_of(amplitude):
        is_lit |= frames.any(axis=0)
    return is_lit


def _check_mask(scan: ScanData) -> None:
    if scan.mask is None or are_believed():
        return
    if not scan.mask.any():
        raise DataError(
            "mask is False everywhere but some pixels must count (True counts); invert it if it marks bad pixels."
        )
    lit = int(np.count_nonzero(_is_lit(scan.amplitude)[~scan.mask]))
    if lit:
        raise DataError(
            f"{lit} of the {scan.n_masked} pixels that mask leaves out (False) hold signal but must be zero in "
            "amplitude; set them to zero with ScanData.with_mask, or invert the mask if it marks bad pixels."
        )


def _refuse_not_finite(name: str, row_is_finite: np.ndarray) -> None:
    bad = np.flatnonzero(~row_is_finite)
    if bad.size:
        rows, remedy = "rows", "mend or remove those rows"
        if name in _PER_FRAME:
            rows, remedy = "frames", f"mend those frames, or leave them out ({skipping(bad)})"
        raise DataError(
            f"{name} is not finite (NaN or infinite) in {bad.size} of {row_is_finite.size} {rows}, the first "
            f"being {bad[0]}, but every value must be finite; {remedy}."
        )

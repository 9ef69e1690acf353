"""`Canvas`: patches and their positions in, an image and its coverage out."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ptycho.stitching import _checks, _cpu, _memory
from ptycho.stitching._canvas_sums import CanvasSums
from ptycho.stitching._geometry import canvas_around, place
from ptycho.stitching._patch_reading import as_array_like
from ptycho.stitching.state import CanvasState, read_state

logger = logging.getLogger(__name__)


class Canvas(CanvasSums):
    """Running sums of sub-pixel shifted patches and of their weights.

    A patch adds its central M x M pixels, shifted by a bilinear kernel, to the (M + 1) x (M + 1) canvas
    pixels under it; its weight is the same shift of an array of ones. Time grows with the pixels added and
    memory is that of the canvas, whatever the number of patches. Canvases merge by addition.

    Parameters
    ----------
    shape_yx : (rows, columns)
        Size in pixels.
    crop_size : int
        Side M of the central square of each patch that is used.
    origin_yx : (float, float)
        Object (row, column) of canvas pixel (0, 0); may be fractional. Canvas pixel (i, j) is object pixel
        ``(i + origin_y, j + origin_x)``.
    backend : {None, "cpu", "tensorflow"}
        Where the sums live. None takes the GPU if TensorFlow is already imported and sees one, else the CPU.
    accumulate : {"float32", "float64"}
        Precision of the sums. "float32" is good to 1e-6 of the largest value up to some hundred patches on a
        pixel, and drifts with more (1e-5 at 50,000); "float64" holds under millions and takes twice the memory.
    overlap_variance : bool
        Keep a second moment, so that `overlap_variance` can tell how much patches disagree. Needs the CPU;
        implies "float64", because the variance is a difference of nearly equal sums. Patches are shifted in
        float32, so that a spread below about 3e-4 of the mean is rounding.
    n_threads : int, optional
        Upper limit on CPU threads; the result does not depend on it. Default: every processor allowed.
    jit_compile : bool
        Compile the sum in TensorFlow with XLA, once for each power of two of patches and size of canvas.

    Attributes
    ----------
    n_added, n_rejected : int
        Patches added, and patches left out because they hold an infinity or a NaN inside their crop.
    first_rejected : tuple of int
        Numbers of the first few of these, counted from the first patch that this canvas was given. Those of
        merged shards stand one after the other.

    Notes
    -----
    Patches are not scaled: values or sums beyond 1e38 overflow to infinity, which `save` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from ptycho.stitching import Canvas
    >>> positions_yx = np.array([[10.0, 10.0], [12.5, 14.0]])
    >>> canvas = Canvas((24, 26), crop_size=8, backend="cpu")
    >>> canvas.add(np.ones((2, 16, 16), np.complex64), positions_yx)
    >>> canvas.n_added, float(canvas.coverage().max())
    (2, 2.0)
    >>> canvas.image()[10, 10].round(3).item()
    (1+0j)
    """

    def __init__(
        self,
        shape_yx: Sequence[int],
        *,
        crop_size: int,
        origin_yx: Sequence[float] = (0.0, 0.0),
        backend: str | None = None,
        accumulate: str = "float32",
        overlap_variance: bool = False,
        n_threads: int | None = None,
        jit_compile: bool = False,
    ) -> None:
        """Make an empty canvas; see the class for the arguments."""
        self.crop_size = _checks.check_crop_size(crop_size)
        self.shape_yx = _checks.check_shape(shape_yx, self.crop_size)
        self.origin_yx = _checks.check_origin(origin_yx)
        _checks.check_choice(accumulate, ("float32", "float64"), "accumulate")
        if overlap_variance:
            accumulate = "float64"
        self._n_threads = _checks.check_threads(n_threads)
        self._check_memory(self.shape_yx, self.crop_size, accumulate, overlap_variance)
        dtype = np.dtype(np.complex64 if accumulate == "float32" else np.complex128)
        self._make_sums(backend, dtype, overlap_variance=overlap_variance, jit_compile=jit_compile)
        height, width = self.shape_yx
        self._corner_weights = np.zeros((height - self.crop_size + 1, width - self.crop_size + 1))
        self._squares = np.zeros(self.shape_yx) if overlap_variance else None
        self.n_added = 0
        self.n_rejected = 0
        self.first_rejected = ()

    @classmethod
    def around(
        cls,
        positions_yx: np.ndarray,
        *,
        crop_size: int,
        backend: str | None = None,
        accumulate: str = "float32",
        overlap_variance: bool = False,
        n_threads: int | None = None,
        jit_compile: bool = False,
    ) -> Canvas:
        """Make the canvas that holds every patch of a scan, centred on the mean position.

        Parameters
        ----------
        positions_yx : (n, 2) float64
            Patch centres in pixels of the object, (y, x), n >= 1.
        crop_size, backend, accumulate, overlap_variance, n_threads, jit_compile
            As for `Canvas`.

        Returns
        -------
        Canvas
            Square and empty.

        Raises
        ------
        ValueError
            If there is no position, one is not finite, or the canvas would not fit into memory.
        """
        side = _checks.check_crop_size(crop_size)
        positions = _checks.check_positions(positions_yx)
        if len(positions) == 0:
            raise ValueError("there are 0 positions but a canvas needs at least one; pass the scan's.")
        shape_yx, origin_yx = canvas_around(positions, crop_size=side)
        cls._check_memory(shape_yx, side, accumulate, overlap_variance, positions)
        return cls(
            shape_yx,
            crop_size=side,
            origin_yx=origin_yx,
            backend=backend,
            accumulate=accumulate,
            overlap_variance=overlap_variance,
            n_threads=n_threads,
            jit_compile=jit_compile,
        )

    @staticmethod
    def _check_memory(
        shape_yx: tuple[int, int],
        crop_size: int,
        accumulate: str,
        overlap_variance: bool,
        positions_yx: np.ndarray | None = None,
    ) -> None:
        needed = _memory.canvas_bytes(
            shape_yx, crop_size=crop_size, accumulate=accumulate, overlap_variance=overlap_variance
        )
        _memory.check_canvas_memory(needed, shape_yx, positions_yx)

    def add(self, patches: Any, positions_yx: np.ndarray) -> None:
        """Add patches, all or none of them.

        A patch with an infinity or a NaN inside its crop is left out whole, counted in `n_rejected` and named
        in a log warning (a matter of the data, not of the calling code, hence logged).

        Parameters
        ----------
        patches : (n, N, N) complex64
            NumPy array, memory map, HDF5 data set or tensor, N >= M. Read in place where it is contiguous.
        positions_yx : (n, 2) float64
            Patch centres in pixels of the object, (y, x).

        Raises
        ------
        TypeError
            If a dtype is another one.
        ValueError
            If counts differ, M exceeds N, a position is not finite or a crop leaves the canvas.
        """
        before, patches = self.n_rejected, as_array_like(patches, "patches")
        self.commit(self.stage_placed(patches, self.place(patches, positions_yx)))
        self.warn_of_rejected(since=before)

    @property
    def n_bytes(self) -> int:
        """Memory of the sums and weights, whatever the number of patches."""
        accumulate = "float32" if self._dtype == np.complex64 else "float64"
        return _memory.canvas_bytes(
            self.shape_yx,
            crop_size=self.crop_size,
            accumulate=accumulate,
            overlap_variance=self._squares is not None,
        )

    def image(self) -> np.ndarray:
        """Return the weighted mean of the patches.

        It is ``sum / (1e-9 + weight)``; a weight of up to 1e-9 counts as none.

        Returns
        -------
        (H, W) complex64
            0 where no patch lies.
        """
        return _cpu.weighted_mean(self._sums.values, self._corner_weights, self.crop_size, self._n_threads)

    def coverage(self) -> np.ndarray:
        """Return the sum of the weights, that is how many patches lie on a pixel.

        Returns
        -------
        (H, W) float32
        """
        return _cpu.box_sum(self._corner_weights, self.shape_yx, self.crop_size, self._n_threads).astype(
            np.float32
        )

    def overlap_variance(self) -> np.ndarray:
        """Return how much patches disagree: the variance of the complex value over the patches on a pixel.

        Needs no ground truth: consistent patches give 0.

        Returns
        -------
        (H, W) float32
            NaN where no more than one patch lies.

        Raises
        ------
        ValueError
            If the canvas was made without ``overlap_variance=True``.
        """
        if self._squares is None:
            raise ValueError("this canvas keeps no second moment; make it with overlap_variance=True.")
        weights = _cpu.box_sum(self._corner_weights, self.shape_yx, self.crop_size, self._n_threads)
        known = weights > 1 + 1e-6
        safe = np.where(known, weights, 1.0)
        variance = self._squares / safe - np.abs(self._sums.values / safe) ** 2
        return np.where(known, np.maximum(variance, 0), np.nan).astype(np.float32)

    def extract(self, image: np.ndarray, positions_yx: np.ndarray) -> np.ndarray:
        """Cut patches out of an image of the canvas' size: the adjoint of summing them.

        For any patches p: ``vdot(sum of shifted p, image) == vdot(p, extract(image))``.

        Parameters
        ----------
        image : (H, W) complex
        positions_yx : (n, 2) float64

        Returns
        -------
        (n, M, M) complex128
            The bilinearly interpolated crop of the image at each position.

        Raises
        ------
        ValueError
            The image has another shape, or a crop leaves the canvas.
        """
        positions = _checks.check_positions(positions_yx)
        if np.shape(image) != self.shape_yx:
            raise ValueError(
                f"image has shape {np.shape(image)} but must be as large as the canvas, {self.shape_yx}."
            )
        placement = place(
            positions, shape_yx=self.shape_yx, origin_yx=self.origin_yx, crop_size=self.crop_size
        )
        return _cpu.extract(np.ascontiguousarray(image, np.complex128), placement, self.crop_size)

    def merge(self, other: Canvas) -> None:
        """Add another canvas of the same layout to this one.

        Floating-point addition does not associate: merging shards in another order may change the last bit.
        `merged` fixes the order.

        Parameters
        ----------
        other : Canvas
            Left as it is.

        Raises
        ------
        ValueError
            Crop size, shape, origin, precision or the presence of a second moment differ.
        """
        self._set_state(self.state().plus(other.state()))

    @classmethod
    def merged(cls, shards: Iterable[Canvas], *, backend: str | None = None) -> Canvas:
        """Return the sum of shards, with the same bits in whatever order they are given.

        They are added in an order fixed by their contents, so it does not matter which worker ends first.

        Parameters
        ----------
        shards : iterable of Canvas
            Of one layout; left as they are.
        backend : {None, "cpu", "tensorflow"}
            Where the sums of the result live.

        Returns
        -------
        Canvas

        Raises
        ------
        ValueError
            There is no shard, or their layouts differ.
        """
        states = sorted((shard.state() for shard in shards), key=CanvasState.digest)
        if not states:
            raise ValueError("there are 0 shards but at least one is needed.")
        return cls.of_state(functools.reduce(CanvasState.plus, states[1:], states[0].copy()), backend=backend)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the canvas to an NPZ file, atomically; adding may go on after `load`.

        Parameters
        ----------
        path : path
            The file, used as given: no suffix is added.

        Raises
        ------
        ValueError
            A sum is not finite: it has overflowed.
        OSError
            The file cannot be written; an older one is untouched.
        """
        self.state().write(path)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, backend: str | None = None, n_threads: int | None = None
    ) -> Canvas:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path
        backend : {None, "cpu", "tensorflow"}
            As for `Canvas`.
        n_threads : int, optional
            As for `Canvas`.

        Returns
        -------
        Canvas

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        DataError
            If it is damaged, of another kind or version, or inconsistent in itself.
        """
        return cls.of_state(read_state(path), backend=backend, n_threads=n_threads)

    def warn_of_rejected(self, *, since: int = 0) -> None:
        """Log a warning if more than `since` patches have been left out as not finite.

        Parameters
        ----------
        since : int
            Value of `n_rejected` that has been told already.
        """
        if self.n_rejected > since:
            logger.warning(
                "%d of %d patches hold an infinity or a NaN inside the crop and were left out "
                "(first indices: %s); pixels that no other patch covers stay 0.",
                self.n_rejected,
                self.n_added + self.n_rejected,
                ", ".join(map(str, self.first_rejected)),
            )

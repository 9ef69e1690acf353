"""Frames of counts wherever they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ptycho._io.mapped import rows_of
from ptycho.data.formats._stored_frames import AnyFrames, changed_blocks
from ptycho.errors import DataError

if TYPE_CHECKING:
    from ptycho._io.hdf5 import Hdf5File


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameStack:
    """Counts of n frames, DC term at pixel (rows // 2, columns // 2), read block by block while the file is open.

    Attributes
    ----------
    name : str
        Where they come from, for messages.
    shape : (n, rows, columns)
    blocks : callable
        Returns an iterator over ``(number of the first frame, values (m, rows, columns))`` in order, as stored.
    are_amplitudes : bool
        Whether these values are amplitudes, and their squares the counts.
    dark : (rows, columns), optional
        Background that is subtracted.
    flat : (rows, columns), optional
        Relative efficiency that is divided by.
    bin : int
        So many pixels a side are summed to one when counts become amplitudes; rows and columns are those before.
    lowest, highest : float, optional
        A pixel that is outside in any frame does not count.
    numbers : (n,) int, optional
        Which of a scan the frames are, where some of it are known to be missing.
    scale : (n,) float64, optional
        What the counts of each frame are multiplied by.
    raster : (rows, columns), optional
        The first two axes of an array with four.
    """

    name: str
    shape: tuple[int, int, int]
    blocks: Callable[[], Iterator[tuple[int, np.ndarray]]]
    are_amplitudes: bool = False
    dark: np.ndarray | None = None
    flat: np.ndarray | None = None
    bin: int = 1
    lowest: float | None = None
    highest: float | None = None
    numbers: np.ndarray | None = None
    scale: np.ndarray | None = None
    raster: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no stack of images, and corrections of another shape."""
        if len(self.shape) != 3 or 0 in self.shape:
            raise DataError(
                f"{self.name} has shape {self.shape} but must be frames (n, rows, columns); mend the file."
            )
        for kind in ("dark", "flat"):
            image = getattr(self, kind)
            if image is not None and image.shape != self.shape[1:]:
                raise DataError(
                    f"the {kind} field of {self.name} has shape {image.shape} but the frames are {self.shape[1:]}; "
                    "mend the file."
                )

    @classmethod
    def of_array(cls, name: str, counts: np.ndarray) -> FrameStack:
        """Return frames that are in memory or mapped, (n, rows, columns) or a raster (…, rows, columns)."""
        shape = _shape_of_counts(name, counts.shape, counts.dtype)
        flat = counts.reshape(-1, shape[-2], shape[-1])

        blocks = AnyFrames(
            n_frames=len(flat),
            frame_bytes=flat.nbytes // len(flat),
            together=1,
            read=lambda start, stop: rows_of(flat, slice(start, stop)),
        )
        return cls(name=name, shape=flat.shape, blocks=blocks, raster=_raster(counts.shape))

    @classmethod
    def of_hdf5(
        cls,
        file: Hdf5File,
        path: str,
        *,
        dark: np.ndarray | None = None,
        flat: np.ndarray | None = None,
    ) -> FrameStack:
        """Return the frames (n, rows, columns), or of a raster (…, rows, columns), at `path`."""
        name = f"{path} in {file.name}"
        dtype, together = file.rows(path)
        shape = _shape_of_counts(name, file.shape(path), dtype)
        n_entries, rows, columns = shape[0], shape[-2], shape[-1]
        per_entry, read_entries = int(np.prod(shape[1:-2])), file.reader(path)

        def read(start: int, stop: int) -> np.ndarray:
            first = start // per_entry
            entries = read_entries(first, -(-stop // per_entry)).reshape(-1, rows, columns)
            return entries[start - first * per_entry : stop - first * per_entry]

        blocks = AnyFrames(
            n_frames=n_entries * per_entry,
            frame_bytes=rows * columns * dtype.itemsize,
            together=together * per_entry,
            read=read,
            keep=file.keep,
        )
        return cls(
            name=name,
            shape=(blocks.n_frames, rows, columns),
            blocks=blocks,
            dark=dark,
            flat=flat,
            raster=_raster(shape),
        )

    @classmethod
    def chain(cls, name: str, stacks: Sequence[FrameStack]) -> FrameStack:
        """Return the frames of several stacks, one after the other, without their dark and flat fields."""
        sizes = {stack.shape[1:] for stack in stacks}
        if len(sizes) != 1:
            raise DataError(
                f"{name} has frames of {len(sizes)} sizes, {sorted(sizes)}, but one is needed; mend the file."
            )

        def blocks() -> Iterator[tuple[int, np.ndarray]]:
            offset = 0
            for stack in stacks:
                for start, counts in stack.blocks():
                    yield offset + start, counts
                offset += stack.shape[0]

        anywhere = [stack.blocks for stack in stacks if isinstance(stack.blocks, AnyFrames)]
        return cls(
            name=name,
            shape=(sum(stack.shape[0] for stack in stacks), *sizes.pop()),
            blocks=AnyFrames.chain(anywhere) if len(anywhere) == len(stacks) else blocks,
        )

    def turned(self, turn: Callable[[np.ndarray], np.ndarray]) -> FrameStack:
        """Return the frames with `turn` applied, which takes (m, rows, columns) and may exchange the last axes."""
        image = turn(np.zeros((1, *self.shape[1:]), bool))
        return replace(
            self,
            shape=(self.shape[0], image.shape[1], image.shape[2]),
            blocks=changed_blocks(self.blocks, turn),
            dark=None if self.dark is None else turn(self.dark[np.newaxis])[0],
            flat=None if self.flat is None else turn(self.flat[np.newaxis])[0],
        )

    def counted_last(self) -> FrameStack:
        """Return the frames of a stack (rows, columns, n), which is read into memory for it."""
        whole = np.concatenate([values for _, values in self.blocks()])
        return self._of_values(np.moveaxis(whole, -1, 0))

    def _of_values(self, values: np.ndarray) -> FrameStack:
        return replace(FrameStack.of_array(self.name, values), are_amplitudes=self.are_amplitudes)

    def by_raster(self, axes: str) -> FrameStack:
        """Return the frames of an array of four axes row by row of its raster, read into memory where they are not so.

        Parameters
        ----------
        axes : {"yxqq", "xyqq", "qqyx", "qqxy"}
            y and x are rows and columns of the raster, qq those of a frame.
        """
        if self.raster is None:
            raise DataError(
                f"{self.name} has three axes, {self.shape}, but `axes` {axes} are four; pass one of nyx, nxy, yxn, xyn."
            )
        if axes == "yxqq":
            return self
        whole = np.concatenate([counts for _, counts in self.blocks()]).reshape(*self.raster, *self.shape[1:])
        order = [axes.index("y"), axes.index("x"), *(at for at, axis in enumerate(axes) if axis == "q")]
        return self._of_values(whole.transpose(order))

    def chosen(self, taken: np.ndarray) -> FrameStack:
        """Return the frames that are `taken`, (n,) bool."""
        frames = self.blocks

        def blocks() -> Iterator[tuple[int, np.ndarray]]:
            done = 0
            for start, counts in frames():
                inside = taken[start : start + len(counts)]
                if inside.any():
                    yield done, counts[inside]
                    done += np.count_nonzero(inside)

        return replace(
            self,
            shape=(int(np.count_nonzero(taken)), *self.shape[1:]),
            blocks=frames.taking(np.flatnonzero(taken)) if isinstance(frames, AnyFrames) else blocks,
            numbers=None if self.numbers is None else self.numbers[taken],
            scale=None if self.scale is None else self.scale[taken],
            raster=None,
        )

    def counts(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what `blocks` yields, as counts."""
        for start, values in self.blocks():
            yield start, self.counts_of(values)

    def counts_of(self, values: np.ndarray) -> np.ndarray:
        """Return the counts of frames as they are stored."""
        return values.astype(np.float64) ** 2 if self.are_amplitudes else values

    def sample(self, n_frames: int) -> np.ndarray:
        """Return the counts of the first frames, at most `n_frames`, (k, rows, columns)."""
        return next(self.counts())[1][:n_frames]

    @property
    def side(self) -> int:
        """Side N, after binning, of the largest centred square with an even number of pixels."""
        return min(self.shape[1:]) // (2 * self.bin) * 2

    @property
    def square(self) -> tuple[slice, ...]:
        """Rows and columns of that square before binning; its pixel (N/2, N/2) is the frames' middle one."""
        half = self.side * self.bin // 2
        return tuple(slice(extent // 2 - half, extent // 2 + half) for extent in self.shape[1:])

    def cropped(self) -> FrameStack:
        """Return the frames cropped to that square."""
        rows, columns = self.square
        return (
            self
            if self.shape[1:] == (self.side * self.bin, self.side * self.bin)
            else self.turned(lambda images: images[..., rows, columns])
        )


def oriented(number: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the turn that ptypy and PtyLab number 0 … 7: its binary digits transpose, flip rows, flip columns."""

    def turn(images: np.ndarray) -> np.ndarray:
        turned = images.swapaxes(-1, -2) if number & 4 else images
        turned = turned[..., ::-1, :] if number & 2 else turned
        return turned[..., ::-1] if number & 1 else turned

    return turn


def _raster(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    return shape[:2] if len(shape) == 4 else None


def _shape_of_counts(name: str, shape: tuple[int, ...] | None, dtype: np.dtype) -> tuple[int, ...]:
    if shape is None or len(shape) < 3 or 0 in shape or dtype.kind not in "biuf":
        raise DataError(
            f"{name} is {dtype} of shape {shape} but must be real counts (n, rows, columns); name the file of the "
            "frames."
        )
    return shape

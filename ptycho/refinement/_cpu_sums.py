"""The steps of a sweep on the CPU: compiled loops, SciPy's transforms, plain threads."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from ptycho._compiled.announcing import announce_compilation
from ptycho._compiled.bands import available_threads, even_bands, run_bands
from ptycho.refinement._mini_batch import MiniBatch, Wishes

if TYPE_CHECKING:
    from types import ModuleType

    from ptycho.refinement._state import RefinementState

# Starting a thread costs about as much as transforming this many pixels.
_PIXELS_PER_THREAD = 32_768


class CpuSums:
    """Computes what frames want changed, adds it up, and takes the step.

    Every frame is transformed by itself and every pixel of the sums gets its frames in order, so that neither the
    number of threads nor how many frames are computed at once reaches a bit of the result.

    Parameters
    ----------
    state : RefinementState
        Object, probe and positions; the steps change them.
    alpha : float
    n_threads : int, optional
        All processors by default.
    """

    def __init__(self, state: RefinementState, *, alpha: float, n_threads: int | None = None) -> None:
        load_loops()  # before any thread does
        self._state, self._alpha = state, np.float32(alpha)
        self._n_threads = n_threads or available_threads()
        rows, columns = state.coefficients.shape
        self._sums = np.zeros((rows, columns), np.complex64)
        self._weights = np.zeros((rows, columns), np.float32)

    def compute(self, batch: MiniBatch) -> Wishes:
        """Return what the frames of `batch` want; changes nothing."""
        state = self._state
        wishes = Wishes.of(
            len(batch), state.patch_size, probe=state.refines_probe, positions=state.refines_positions
        )

        def compute_band(begin: int, end: int) -> None:
            worker = _FrameWorker(state)
            for index in range(begin, end):
                worker.compute(batch, index, wishes)

        n_pixels = len(batch) * state.patch_size**2
        run_bands(compute_band, even_bands(len(batch), self._bands(len(batch), n_pixels)))
        return wishes

    def add(self, batch: MiniBatch, wishes: Wishes) -> None:
        """Add the wishes for the object to the sums."""
        loops = load_loops()

        def add_band(begin: int, end: int) -> None:
            where = batch.first_yx, batch.weights
            loops.add_patches(_reals(self._sums), _reals(wishes.gradients), *where, 2, begin, end)
            loops.add_patches(self._weights, self._state.intensity[None], *where, 1, begin, end)

        run_bands(add_band, self._row_bands(batch))

    def step(self, batch: MiniBatch) -> None:
        """Change the object by the sums, those of all frames of `batch`, and empty them."""
        loops, side = load_loops(), self._state.patch_size
        peak = loops.largest(self._weights, batch.first_yx, side)

        def step_band(begin: int, end: int) -> None:
            loops.step_and_clear(
                _reals(self._state.coefficients),
                self._state.light,
                _reals(self._sums),
                self._weights,
                self._alpha,
                peak,
                batch.first_yx,
                side,
                begin,
                end,
            )

        run_bands(step_band, self._row_bands(batch))

    def finish(self) -> None:
        """Bring the object back to the state, where it has been all the time."""

    def _row_bands(self, batch: MiniBatch) -> list[int]:
        """Edges of bands of rows, which hold all patches between them."""
        first, last = int(batch.first_yx[:, 0].min()), int(batch.first_yx[:, 0].max())
        n_rows = last - first + self._state.patch_size + 3
        n_bands = self._bands(n_rows, len(batch) * self._state.patch_size**2)
        return [first + edge for edge in even_bands(n_rows, n_bands)]

    def _bands(self, n_items: int, n_pixels: int) -> int:
        return max(1, min(self._n_threads, n_items, n_pixels // _PIXELS_PER_THREAD))


class _FrameWorker:
    """What one thread needs to compute one frame after another."""

    def __init__(self, state: RefinementState) -> None:
        side = state.patch_size
        self._state, self._loops = state, load_loops()
        self._row = np.empty(2 * side + 6, np.float32)
        self._patch = np.empty((side, side), np.complex64)
        self._slopes = np.empty((2, side, side), np.complex64)
        self._equations = np.empty(5)

    def compute(self, batch: MiniBatch, index: int, wishes: Wishes) -> None:
        """Fill row `index` of `wishes`."""
        from scipy import fft

        state, loops = self._state, self._loops
        patch = wishes.patches[index] if state.refines_probe else self._patch
        self._cut(patch, batch, index, batch.weights[index])
        wave = np.empty_like(patch)
        loops.multiply(_reals(wave), _reals(patch), state.probe.view(np.float32))
        wave = np.asarray(fft.fft2(wave, norm="ortho", overwrite_x=True, workers=1))
        wishes.misfit[index] = loops.replace_modulus(
            _reals(wave), state.frames(batch.frames[index]), state.counts
        )
        difference = np.asarray(fft.ifft2(wave, norm="ortho", overwrite_x=True, workers=1))
        if state.refines_probe:
            wishes.differences[index] = difference
        loops.multiply(
            _reals(wishes.gradients[index]), _reals(difference), state.conjugate_probe.view(np.float32)
        )
        if state.refines_positions:
            wishes.shifts_yx[index] = self._shift(batch, index, wishes.gradients[index])

    def _shift(self, batch: MiniBatch, index: int, gradient: np.ndarray) -> np.ndarray:
        """Return the shift (y, x) that explains the most of the exit wave's difference."""
        for axis in (0, 1):
            weights = batch.weights[index].copy()
            weights[:, axis] = batch.slopes[index][:, axis]
            self._cut(self._slopes[axis], batch, index, weights)
        self._loops.normal_equations(
            self._equations,
            _reals(self._slopes[0]),
            _reals(self._slopes[1]),
            _reals(gradient),
            self._state.intensity,
        )
        yy, yx, xx, right_y, right_x = self._equations
        determinant = yy * xx - yx * yx
        # A patch without structure along some direction says nothing about a shift along it.
        if not determinant > 1e-6 * (yy + xx) ** 2:
            return np.zeros(2)
        return np.array([xx * right_y - yx * right_x, yy * right_x - yx * right_y]) / determinant

    def _cut(self, patch: np.ndarray, batch: MiniBatch, index: int, weights: np.ndarray) -> None:
        first_y, first_x = batch.first_yx[index]
        self._loops.cut_patch(
            _reals(patch), _reals(self._state.coefficients), first_y, first_x, weights, self._row
        )


@functools.lru_cache(maxsize=1)
def load_loops() -> ModuleType:
    """Import the compiled loops; the import of numba is put off until something is refined."""
    from ptycho.refinement import _loops

    announce_compilation(__package__ or "", "the loops of the refinement")
    return _loops


def _reals(array: np.ndarray) -> np.ndarray:
    """Return complex64 as real and imaginary parts in turn, float32, the last axis twice as long."""
    return array.view(np.float32)

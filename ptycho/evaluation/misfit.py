"""How well predicted frames explain measured ones, on a scale whose end is known: what counting noise leaves."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ptycho._compiled.announcing import announce_compilation
from ptycho._showing.one_line import OneLine
from ptycho.evaluation._poisson import STEPS_PER_UNIT, poisson_moments
from ptycho.evaluation.frame_spread import FrameSpread, add_to_levels, empty_levels

N_WORST = 5
MAP_CELL_PX = 8
_NUMBERS = ("_squares", "_noise", "_variance", "_energy", "_deviation", "_noise_deviation", "_amplitude")


@dataclass(frozen=True)
class FrameMisfit:
    """One frame and how badly it is explained.

    Attributes
    ----------
    index : int
        Its number in the scan.
    misfit : float
        chi² over its Poisson expectation; where counts are not known the share of the frame's energy that is
        not explained.
    """

    index: int
    misfit: float


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Misfit(OneLine):
    """How far measured frames are from predicted ones, the brightness of each frame fitted.

    Attributes
    ----------
    n_frames : int
        Frames that were judged.
    chi2 : float or None
        Sum of ``(2√n - 2√μ)²`` over all pixels that count, n photons measured and μ predicted, over what counting
        noise alone would leave of it: 1 for a perfect prediction, at every dose. None where counts are not known.
    chi2_error : float or None
        Standard error of `chi2` for a perfect prediction.
    r_factor : float
        ``Σ|√n - √μ| / Σ√n``.
    noise_r_factor : float or None
        What counting noise alone would leave of it.
    unexplained : float
        Share of the frames' energy that is neither explained nor counting noise, ``(Σ(√n - √μ)² - noise) / Σn``;
        independent of the dose. Noise is taken as 0 where counts are not known.
    detector_map : (N, N) float32
        Per pixel of the detector, over all frames, what `FrameMisfit.misfit` is per frame; NaN where masked or
        where neither light nor its prediction fell.
    detector_excess : (N, N) float32
        Energy of each pixel, over all frames, that is neither explained nor noise, as a share of the brighter of
        what was measured and predicted there: 1 for a pixel that is dark where light is predicted.
    detector_share : (N, N) float32
        That energy as a share of the sum over the detector.
    object_map : (h, w) float32
        The same as `detector_map` per cell of `MAP_CELL_PX` pixels of the object in which frames are centred; NaN
        where none is.
    object_map_origin_yx : (float, float)
        Pixel of the object at the outer corner of its cell (0, 0).
    worst_frames : tuple of FrameMisfit
        The five that fit worst, worst first.
    spread : FrameSpread
        How the misfit spreads over frames; its `median` is what a few bad frames do not move.
    """

    n_frames: int
    chi2: float | None
    chi2_error: float | None
    r_factor: float
    noise_r_factor: float | None
    unexplained: float
    detector_map: np.ndarray
    detector_excess: np.ndarray
    detector_share: np.ndarray
    object_map: np.ndarray
    object_map_origin_yx: tuple[float, float]
    worst_frames: tuple[FrameMisfit, ...]
    spread: FrameSpread


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MisfitTotals(OneLine):
    """The numbers that make up `MisfitSums`; those of two sets of frames of one scan add up.

    Attributes
    ----------
    n_frames : int
        Frames that were judged.
    numbers : (7,) float64
        Squared differences, their noise and its variance, energy, deviation, that of the noise, and amplitude.
    detector : (4, N, N) float64
        Per pixel: squared differences, their scale, energy measured and predicted.
    cells : (2, h, w) float64
        Of these the first two, per cell of the object.
    levels : (4, 512) float64
        As in `FrameSpread.sums`.
    worst_indices : (k,) int64
        The frames that fit worst, k <= 5.
    worst_misfits : (k,) float64
        How badly.
    """

    n_frames: int
    numbers: np.ndarray
    detector: np.ndarray
    cells: np.ndarray
    levels: np.ndarray
    worst_indices: np.ndarray
    worst_misfits: np.ndarray

    def plus(self, other: MisfitTotals) -> MisfitTotals:
        """Return the totals of both sets of frames.

        Parameters
        ----------
        other : MisfitTotals
            Of other frames of the same scan.

        Returns
        -------
        MisfitTotals
        """
        indices = np.concatenate([self.worst_indices, other.worst_indices])
        misfits = np.concatenate([self.worst_misfits, other.worst_misfits])
        worst = np.lexsort((indices, -misfits))[:N_WORST]
        return MisfitTotals(
            n_frames=self.n_frames + other.n_frames,
            numbers=self.numbers + other.numbers,
            detector=self.detector + other.detector,
            cells=self.cells + other.cells,
            levels=self.levels + other.levels,
            worst_indices=indices[worst],
            worst_misfits=misfits[worst],
        )


class MisfitSums:
    """Adds up the misfit of frames, batch by batch; its memory does not grow with their number.

    Parameters
    ----------
    positions_yx : (n, 2) float64
        Where the frames of the scan are centred, in pixels of the object.
    mask : (N, N) bool
        Pixels that count.
    photon_energy : float, optional
        Squared amplitude of one photon; None where counts are not known.
    """

    def __init__(self, positions_yx: np.ndarray, mask: np.ndarray, *, photon_energy: float | None) -> None:
        """Make empty sums."""
        self._positions_yx, self._mask = positions_yx, _read_only(mask)
        self._scale = None if photon_energy is None else photon_energy**-0.5
        self._moments = _read_only(poisson_moments().table())
        self._corner_yx = positions_yx.min(axis=0)
        cells = ((np.ptp(positions_yx, axis=0)) // MAP_CELL_PX).astype(int) + 1
        # Squared differences in units of chi², their scale (noise or energy), energies measured and predicted.
        self._detector = np.zeros((4, *mask.shape))
        # Of these the first two.
        self._cells = np.zeros(cells), np.zeros(cells)
        self._levels = empty_levels()
        self._n_frames = 0
        self._squares = self._noise = self._variance = self._energy = 0.0
        self._deviation = self._noise_deviation = self._amplitude = 0.0
        self._worst: tuple[FrameMisfit, ...] = ()

    def add(self, indices: np.ndarray, measured: np.ndarray, predicted: np.ndarray) -> None:
        """Add frames; those without light, or without a prediction of any, are passed over.

        The brightness of each is fitted: its predicted energy is set to the measured one, which for Poisson counts
        is the most likely factor (and unbiased at every dose). A constant phase drops out of every frame.

        Parameters
        ----------
        indices : (b,) int
            Numbers of the frames in the scan.
        measured, predicted : (b, N, N) float32
            Amplitudes, each in its own unit.
        """
        frames = [_read_only(np.ascontiguousarray(each, np.float32)) for each in (measured, predicted)]
        numbers = np.empty((len(indices), len(_NUMBERS)))
        scale = 0.0 if self._scale is None else float(self._scale)
        load_loops().add_frames(
            self._detector, numbers, *frames, self._mask, scale, self._moments, float(STEPS_PER_UNIT)
        )
        usable = numbers[:, _NUMBERS.index("_energy")] > 0
        self._add_numbers(np.asarray(indices)[usable], numbers[usable])

    def _add_numbers(self, indices: np.ndarray, numbers: np.ndarray) -> None:
        if not len(indices):
            return
        squares, noise = numbers[:, :2].T
        self._n_frames += len(indices)
        for name, values in zip(_NUMBERS, numbers.T, strict=True):
            # Frame by frame, so that no bit depends on how many come at once.
            for value in values.tolist() if name != "_noise" or self._scale is not None else ():
                setattr(self, name, getattr(self, name) + value)
        rows, columns = ((self._positions_yx[indices] - self._corner_yx) // MAP_CELL_PX).astype(int).T
        for cells, values in zip(self._cells, (squares, noise), strict=True):
            np.add.at(cells, (rows, columns), values)
        energy = numbers[:, _NUMBERS.index("_energy")]
        add_to_levels(self._levels, squares, noise, energy)
        self._keep_worst(indices, squares / noise)

    def _keep_worst(self, indices: np.ndarray, misfits: np.ndarray) -> None:
        worst = np.argsort(misfits)[::-1][:N_WORST]
        found = [FrameMisfit(int(indices[i]), float(misfits[i])) for i in worst]
        self._worst = tuple(
            sorted((*self._worst, *found), key=lambda frame: (-frame.misfit, frame.index))[:N_WORST]
        )

    def totals(self) -> MisfitTotals:
        """Return the numbers that make it up so far; the arrays are its own."""
        return MisfitTotals(
            n_frames=self._n_frames,
            numbers=np.array([getattr(self, name) for name in _NUMBERS]),
            detector=self._detector,
            cells=np.stack(self._cells),
            levels=self._levels,
            worst_indices=np.array([frame.index for frame in self._worst], np.int64),
            worst_misfits=np.array([frame.misfit for frame in self._worst], np.float64),
        )

    def restore(self, totals: MisfitTotals) -> None:
        """Take the numbers of `totals`, of the same scan, in place of its own."""
        self._n_frames, self._detector, self._cells = totals.n_frames, totals.detector, tuple(totals.cells)
        self._levels = totals.levels
        for name, number in zip(_NUMBERS, totals.numbers.tolist(), strict=True):
            setattr(self, name, number)
        worst = zip(totals.worst_indices.tolist(), totals.worst_misfits.tolist(), strict=True)
        self._worst = tuple(FrameMisfit(index, misfit) for index, misfit in worst)

    def result(self) -> Misfit | None:
        """Return the misfit of all frames so far; None if there was none with light."""
        if not self._n_frames:
            return None
        counted = self._scale is not None
        squares, scale, seen, predicted = (sums * self._mask for sums in self._detector)
        excess = np.maximum(squares - scale, 0) / 4 if counted else squares / 4
        return Misfit(
            n_frames=self._n_frames,
            chi2=self._squares / self._noise if counted else None,
            chi2_error=self._variance**0.5 / self._noise if counted else None,
            r_factor=self._deviation / self._amplitude,
            noise_r_factor=self._noise_deviation / self._amplitude if counted else None,
            unexplained=(self._squares - self._noise) / (4 * self._energy),
            detector_map=_ratio(squares, scale),
            detector_excess=np.nan_to_num(_ratio(excess, np.maximum(seen, predicted))),
            detector_share=np.nan_to_num(_ratio(excess, np.full_like(excess, excess.sum()))),
            object_map=_ratio(*self._cells),
            object_map_origin_yx=(float(self._corner_yx[0]), float(self._corner_yx[1])),
            worst_frames=self._worst,
            spread=FrameSpread(self._levels, counted),
        )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient as float32, NaN where the denominator is 0."""
    empty = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0).astype(np.float32)


@functools.lru_cache(maxsize=1)
def load_loops() -> ModuleType:
    """Import the compiled loop; the import of numba is put off until frames are judged."""
    from ptycho.evaluation import _misfit_loops

    announce_compilation(__package__ or "", "the loop of the verdict")
    return _misfit_loops


def _read_only(array: np.ndarray) -> np.ndarray:
    # To numba, arrays that may not be written are a type of their own, with a second loop to compile.
    view = array.view()
    view.flags.writeable = False
    return view

"""`refine()`: sweeps over the measured frames, which improve an image of the object."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from autobatch import BatchCost, BatchRun, NoProgress, Progress, Stage, run_in_batches
from ptycho._io.manifest import versions
from ptycho.data.fingerprint import digest_of, scan_fingerprint
from ptycho.data.illumination import PLAUSIBLE_RATIO, probe_energy_ratio
from ptycho.data.scan import ScanData
from ptycho.diffraction import SplineObject, expected_amplitude, spread_under_frames
from ptycho.errors import DataError
from ptycho.image.placed import PlacedImage
from ptycho.refinement._cpu_sums import CpuSums
from ptycho.refinement._mini_batch import MiniBatch, Wishes
from ptycho.refinement._state import RefinementState
from ptycho.refinement.checkpoint import KeptSweeps, SweepCheckpointing
from ptycho.refinement.results import RefinementRun, SweepRecord
from ptycho.refinement.settings import SWEEPS_TO_SETTLE, RefinementSettings

if TYPE_CHECKING:
    from ptycho.refinement._tensorflow_sums import TensorFlowSums

logger = logging.getLogger(__name__)

# A pixel holds an image once it got this share of the brightest light of one frame: one sweep then moves it by half
# of what the frames want, or more.
_LIT_ABOVE = 0.5
_FRAMES_FOR_SCALE = 64
# They decide bits; see `RefinementSettings` for what does not.
_PACKAGES = ("numpy", "numba", "scipy")
_NOT_COMPARED = ("sweeps", "batch_size")
# A graph holds windows, rows, patches, waves, and as many when they are spread, with the places of each number.
_IMAGES_IN_GRAPH = 24


class Refine(Protocol):
    """Does what `refine` does, wherever."""

    def __call__(
        self,
        image: PlacedImage | None,
        scan: ScanData,
        settings: RefinementSettings | None = None,
        *,
        progress: Progress | None = None,
        label: str = "refinement",
        checkpoint: SweepCheckpointing | None = None,
    ) -> RefinementRun:
        """Improve an image of the object by the frames of `scan`.

        Parameters
        ----------
        image, scan, settings, progress, label, checkpoint
            As for `refine`.

        Returns
        -------
        RefinementRun
        """
        ...


def refine(
    image: PlacedImage | None,
    scan: ScanData,
    settings: RefinementSettings | None = None,
    *,
    progress: Progress | None = None,
    label: str = "refinement",
    checkpoint: SweepCheckpointing | None = None,
) -> RefinementRun:
    """Improve an image of the object by the frames of `scan`, with the probe that the scan has.

    Regularised PIE (Maiden, Johnson and Li 2017, https://doi.org/10.1364/OPTICA.4.000736) with the steps of
    `RefinementSettings.mini_batch` frames added up, on the cubic spline by which scans are simulated here: the
    object of noiseless frames stays what it is. Where a pixel of the detector does not count (`ScanData.mask`), the
    wave keeps the modulus of the model. Frames are read as they are needed; memory does not grow with their number.

    Parameters
    ----------
    image : PlacedImage or None
        Where to begin; None for a flat object. Pixels that it does not cover begin as the nearest that it does.
    scan : ScanData
        Its probe must be in the units of its frames (`ptycho.data.consistent_probe`); it is not rescaled. The image
        is, by one real factor: `RefinementRun.scale`.
    settings : RefinementSettings, optional
        The defaults if left out.
    progress : Progress, optional
        Display that gets one stage called `label`, counting frames.
    label : str
        What is refined, for the display and the log.
    checkpoint : SweepCheckpointing, optional
        Where the last finished sweep is kept, so that a run that was killed goes on; one that is finished goes on to
        more sweeps.

    Returns
    -------
    RefinementRun
        The same bits for every `batch_size` on a CPU; the same to rounding on a card, whose sums have no order.

    Raises
    ------
    SettingsError
        A flat object leaves no sweep for probe or positions (`RefinementSettings.check_from_flat`).
    DataError
        It is not known where the image lies, or it covers nothing that a frame saw, or a checkpoint is of another run.
    autobatch.DoesNotFitError
        If not even one frame fits into memory.

    Examples
    --------
    >>> from ptycho.data import SimulationSettings, simulate
    >>> from ptycho.refinement import RefinementSettings, refine
    >>> scan = simulate(SimulationSettings(object_shape_yx=(100, 110), step_px=9.0))
    >>> run = refine(None, scan, RefinementSettings(sweeps=3))
    >>> run.image.values.shape == run.change.shape, len(run.sweeps)
    (True, 3)
    """
    settings = settings or RefinementSettings()
    if image is None:
        settings.check_from_flat()
    _check_probe(scan)
    start, given, origin_yx = _start(image, scan, settings)
    scale = _scale(start, origin_yx, scan)
    state = RefinementState(scan, start * np.float32(scale), origin_yx, settings)
    store = None
    if checkpoint is not None:
        store = checkpoint.opened(_fingerprint(scan, start, origin_yx, settings))
    kept = None if store is None else store.read()
    if kept is not None:
        _check_not_beyond(kept, settings)
        state.restore(kept)
    sweeper = _Sweeper(state, settings, given)
    sweeps = [] if kept is None else sweeper.go_on(kept)
    with (progress or NoProgress()).stage(label, settings.sweeps * scan.n_frames, "frames") as stage:
        stage.advance(len(sweeps) * scan.n_frames)
        while len(sweeps) < settings.sweeps:
            sweeps.append(sweeper.sweep(stage))
            if store is not None:
                store.write(sweeper.kept(sweeps))
    covered = sweeper.covered()
    image_now = PlacedImage(
        np.where(covered, state.image(), np.complex64(0)), covered, origin_yx, sweeper.illumination()
    )
    return RefinementRun(
        image=image_now,
        change=sweeper.first_change,
        sweeps=tuple(sweeps),
        scale=scale,
        probe=state.probe,
        positions_yx=state.positions_yx,
        settings=settings,
    )


def _fingerprint(
    scan: ScanData, start: np.ndarray, origin_yx: tuple[float, float], settings: RefinementSettings
) -> dict[str, Any]:
    """Return what has to be the same where sweeps go on; how many there are to be is none of it."""
    decides = {name: value for name, value in asdict(settings).items() if name not in _NOT_COMPARED}
    packages = (*_PACKAGES, "tensorflow") if settings.on_card else _PACKAGES
    return {
        "scan": scan_fingerprint(scan),
        "image": {"values": digest_of(start), "origin_yx": list(origin_yx)},
        "settings": decides,
        "versions": versions(packages),
    }


def _check_not_beyond(kept: KeptSweeps, settings: RefinementSettings) -> None:
    if len(kept.records) > settings.sweeps:
        raise DataError(
            f"the checkpoint holds {len(kept.records)} sweeps but {settings.sweeps} are wanted; ask for as many, or "
            "pass another `SweepCheckpointing.folder`."
        )


def _check_probe(scan: ScanData) -> None:
    ratio, (low, high) = probe_energy_ratio(scan), PLAUSIBLE_RATIO
    if not low <= ratio <= high:
        logger.warning(
            "the probe's energy is %.3g times that of the brightest frames (%g to %g is plausible): the object will "
            "take the difference; pass ptycho.data.consistent_probe(scan)",
            ratio,
            low,
            high,
        )


def _start(
    image: PlacedImage | None, scan: ScanData, settings: RefinementSettings
) -> tuple[np.ndarray, np.ndarray | None, tuple[float, float]]:
    """Return the object to begin with, which of its pixels were given, None for a flat one, and its origin."""
    reach = settings.max_position_shift_px if settings.refine_positions else 0.0
    positions_yx = np.concatenate([scan.positions_yx - reach, scan.positions_yx + reach])
    if image is None:
        one = np.ones((1, 1), np.complex64)
        middle = np.floor(scan.positions_yx.mean(axis=0))
        values, _, origin_yx = spread_under_frames(
            one, one.astype(bool), (middle[0], middle[1]), positions_yx, scan.patch_size
        )
        return values, None, origin_yx
    if image.origin_yx is None:
        raise DataError(
            "the image does not say where it lies, so its pixels cannot be held against the frames; register it to "
            "an image of known place and pass its origin_yx."
        )
    return spread_under_frames(image.values, image.covered, image.origin_yx, positions_yx, scan.patch_size)


def _scale(image: np.ndarray, origin_yx: tuple[float, float], scan: ScanData) -> float:
    """Return the factor that makes the frames of `image` as bright as the measured, by least squares."""
    chosen = np.unique(np.linspace(0, scan.n_frames - 1, _FRAMES_FOR_SCALE).astype(np.int64))
    spline, counts = SplineObject.of(image), np.True_ if scan.mask is None else scan.mask
    above = below = 0.0
    for frame in chosen:
        expected = expected_amplitude(spline, scan.probe, scan.positions_yx[[frame]] - origin_yx)[0] * counts
        above += float(np.vdot(expected, scan.frames(frame)))
        below += float(np.vdot(expected, expected))
    if not (above > 0 and below > 0):
        raise DataError(
            "the image is dark where the frames were taken, so it explains none of them; begin with None, a flat "
            "object."
        )
    return above / below


def make_sums(state: RefinementState, settings: RefinementSettings) -> CpuSums | TensorFlowSums:
    """Return what computes the steps, on the device that `settings` name."""
    if not settings.on_card:
        return CpuSums(state, alpha=settings.alpha)
    from ptycho.refinement._tensorflow_sums import TensorFlowSums

    return TensorFlowSums(state, alpha=settings.alpha, device=settings.device or "")


class _Sweeper:
    """Goes over the frames, one mini-batch after another.

    `given` are the pixels (H, W) of the object that the image covered at the beginning, None if it was flat.
    """

    def __init__(
        self, state: RefinementState, settings: RefinementSettings, given: np.ndarray | None
    ) -> None:
        self._state, self._settings, self._given = state, settings, given
        self._sums = make_sums(state, settings)
        self._rng = np.random.default_rng(settings.seed)
        self._batch_size: int | Literal["auto"] = settings.batch_size
        self._before = state.image()
        self._n_sweeps = 0
        self.first_change = np.zeros(self._before.shape, np.float32)

    def sweep(self, stage: Stage) -> SweepRecord:
        """Use every frame once, in a new order."""
        began, state = time.perf_counter(), self._state
        state.object_alone = self._given is None and self._n_sweeps < SWEEPS_TO_SETTLE
        order, step = self._rng.permutation(len(state.misfit)), self._settings.mini_batch
        batch_sizes: dict[int, None] = {}
        n_oom = 0
        for start in range(0, len(order), step):
            run = self._take_step(order[start : start + step])
            batch_sizes.update(dict.fromkeys(run.batch_sizes))
            n_oom += run.n_oom
            stage.advance(run.n_items)
        self._sums.finish()
        self._n_sweeps += 1
        difference, measured = state.misfit.sum(axis=0)
        return SweepRecord(
            r_factor=float(difference / measured),
            change=self._measure_change(),
            seconds=time.perf_counter() - began,
            batch_sizes=tuple(batch_sizes),
            n_oom=n_oom,
        )

    def go_on(self, kept: KeptSweeps) -> list[SweepRecord]:
        """Take up what an earlier run has kept, the state apart, and return its sweeps."""
        self._rng.bit_generator.state = kept.random_state
        self.first_change, self._n_sweeps = kept.first_change, len(kept.records)
        return list(kept.records)

    def kept(self, sweeps: Sequence[SweepRecord]) -> KeptSweeps:
        """Return all that the next sweep begins with."""
        state = self._state
        return KeptSweeps(
            coefficients=state.coefficients,
            light=state.light,
            misfit=state.misfit,
            positions_yx=state.positions_yx,
            probe=state.probe,
            first_change=self.first_change,
            random_state=dict(self._rng.bit_generator.state),
            records=tuple(sweeps),
        )

    def _take_step(self, frames: np.ndarray) -> BatchRun:
        batch = self._state.mini_batch(frames)
        run = run_in_batches(
            lambda start, stop: self._sums.compute(batch.part(start, stop)),
            len(batch),
            commit=lambda start, stop, wishes: self._add(batch.part(start, stop), wishes),
            batch_size=self._batch_size,
            cost=BatchCost(bytes_per_item=self._bytes_per_frame()),
            device=self._settings.device or "cpu",
            check_length=False,
        )
        # Planned once: the other mini-batches are like the first.
        if self._batch_size == "auto" or run.n_oom:
            self._batch_size = run.final_batch_size
        self._sums.step(batch)
        self._state.step()
        return run

    def _bytes_per_frame(self) -> int:
        per_frame = Wishes.bytes_per_frame(self._state.patch_size, probe=self._state.refines_probe)
        return _IMAGES_IN_GRAPH * per_frame if self._settings.on_card else per_frame

    def _add(self, batch: MiniBatch, wishes: Wishes) -> None:
        self._state.take(batch, wishes)
        self._sums.add(batch, wishes)

    def _measure_change(self) -> float:
        """Return how much the image has changed since this was last asked, and keep the first answer's picture."""
        after, judged = self._state.image(), self.covered() if self._given is None else self._given
        changed = np.where(judged, np.abs(after - self._before), np.float32(0))
        size = np.sqrt(np.mean(np.abs(after[judged]) ** 2)) if judged.any() else 0.0
        relative = changed / np.float32(size) if size > 0 else changed
        if self._n_sweeps == 1:
            self.first_change = relative
        self._before = after
        return float(np.sqrt(np.mean(relative[judged] ** 2))) if judged.any() else 0.0

    def illumination(self) -> np.ndarray:
        """Return the light of one sweep on each pixel, over the brightest of one frame: (H, W) float32."""
        return self._state.illumination() / np.float32(self._n_sweeps)

    def covered(self) -> np.ndarray:
        """Return the pixels that hold an image: those that were given, and those that enough light fell on."""
        lit = self.illumination() > _LIT_ABOVE
        return lit if self._given is None else lit | self._given

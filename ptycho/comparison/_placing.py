"""One arm: its image made, put into the common window, registered, and asked how well it agrees with itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from autobatch import Progress
from ptycho.comparison.arms import Arm, ArmImage, ModelArm
from ptycho.comparison.refined import RefinedArm
from ptycho.comparison.results import ArmResult
from ptycho.comparison.settings import ComparisonSettings
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.evaluation import (
    Misfit,
    SelfConsistency,
    Verdict,
    measure_consistency,
    pass_verdict,
)
from ptycho.image.cropping import Rectangle
from ptycho.image.placed import PlacedImage
from ptycho.image.registration import Registration, register
from ptycho.models import Familiarity, FrameStatistics, familiarity_of, frame_statistics
from ptycho.reconstruction import Checkpointing, HalfSets, judge_constant, judge_image
from ptycho.refinement import RefinementSettings, SweepCheckpointing, refine
from ptycho.refinement.checkpoint import SWEEPS

logger = logging.getLogger(__name__)

_SHARED_FRAMES = "Groups of different halves share frames, so the half-set FRC and the disagreement flatter."
_NO_PATCHES = "There are no patches, so that the image is judged alone."
_PATCHES_OF_GROUPS = "Patches of groups lie between their frames, so that only the image is judged."


@dataclass(frozen=True, eq=False)
class Column:
    """One image of the comparison: what it is called, and the work that makes its result."""

    label: str
    place: Callable[[], ArmResult]


@dataclass(frozen=True, eq=False)
class Placer:
    """Turns arms into results in one window.

    Attributes
    ----------
    scan : ScanData
    window : Rectangle
        The common frame, in pixels of the object.
    truth : (h, w) complex64, optional
        The ground truth in the window.
    settings : ComparisonSettings
    progress : Progress
    """

    scan: ScanData
    window: Rectangle
    truth: np.ndarray | None
    settings: ComparisonSettings
    progress: Progress

    def columns(self, arm: Arm) -> list[Column]:
        """Return what `arm` puts into the comparison: its image, and that of a model refined if it is wanted."""
        making = _Making(arm, self)
        works = making.as_made, making.refined
        return [
            Column(label, work) for label, work in zip(labels_of(arm, self.settings), works, strict=False)
        ]

    def result(self, arm: Arm, made: ArmImage) -> ArmResult:
        """Return the result of an image of `arm`, not yet scored."""
        placed = made.image.in_window(self.window)
        began = time.perf_counter()
        registration = self._registration(arm, made.image, placed)
        aligned = placed if registration is None else placed.shifted(registration.applied_offset_yx)
        seconds, began = {"register": time.perf_counter() - began}, time.perf_counter()
        consistency = self._consistency(made, placed)
        if consistency is not None:
            seconds["consistency"] = time.perf_counter() - began
        began = time.perf_counter()
        verdict = None
        if self.settings.verdict:
            verdict = self._where_frames_lie(made)._verdict(arm, made, aligned, registration)
        if verdict is not None:
            judged_s = 0.0 if made.inference is None else made.inference.judge_s
            seconds["verdict"] = judged_s + time.perf_counter() - began
        return ArmResult(
            label=arm.label,
            role=arm.role,
            kind=arm.kind,
            image=placed,
            aligned=aligned,
            registration=registration,
            consistency=consistency,
            verdict=verdict,
            mean_centred=made.mean_centred if self.settings.metric_convention == "ptychopinn" else None,
            inference=made.inference,
            refinement=made.refinement,
            assumptions=arm.assumptions,
            place_known=made.image.origin_yx is not None or registration is None or registration.plausible,
            seconds=seconds | made.seconds,
        )

    @cached_property
    def _frames(self) -> FrameStatistics:
        """What the frames of the scan have in common; for all arms alike."""
        return frame_statistics(self.scan)

    def familiarity(self, arm: Arm) -> Familiarity | None:
        """Return how like the scan is to what a model was trained on; None for an image that came as it is."""
        model = arm.trained_model
        if model is None:
            return None
        return familiarity_of(
            self._frames, self.scan.probe, training_frames=model.training_frames, training_probes=model.probes
        )

    def _registration(self, arm: Arm, image: PlacedImage, placed: PlacedImage) -> Registration | None:
        if self.truth is None or not self._wants_registration(arm, image):
            return None
        # Without a known origin the image may lie anywhere.
        bound = self.settings.max_shift_px if image.origin_yx is not None else float(max(self.truth.shape))
        registration = register(placed.values, self.truth, mask=placed.covered, max_shift_px=bound)
        if not registration.plausible:
            logger.warning("%s was not registered: %s", arm.label, registration.failure)
        for note in registration.notes:
            logger.warning("%s: %s", arm.label, note)
        return registration

    def _wants_registration(self, arm: Arm, image: PlacedImage) -> bool:
        wanted = self.settings.register
        if image.origin_yx is None and wanted == "none":
            logger.warning(
                "%s does not say where its image lies and registration is switched off: it is put into the middle of "
                "the frame and its figures hold only if it belongs there; pass `register='finished'`",
                arm.label,
            )
        return wanted == "all" or (wanted == "finished" and arm.is_finished)

    @cached_property
    def _constant(self) -> Misfit:
        """What the frames say of an object that is the same everywhere; for all arms alike."""
        return judge_constant(self.scan)

    def _where_frames_lie(self, made: ArmImage) -> Placer:
        """Return the same with the positions that were refined with the image, if they were."""
        run = made.refinement
        if run is None or not run.settings.refine_positions:
            return self
        return replace(self, scan=replace(self.scan, positions_yx=run.positions_yx, object_guess=None))

    def _verdict(
        self, arm: Arm, made: ArmImage, aligned: PlacedImage, registration: Registration | None
    ) -> Verdict:
        notes, image = [], made.image
        if image.origin_yx is None:
            found = registration is not None and registration.plausible
            image = replace(aligned, origin_yx=self.window.origin_yx) if found else None
        if image is None:
            notes.append("Nothing says where the image lies, so no frame can be recomputed from it.")
        probe = made.probe
        if probe is not None and probe.shape != self.scan.probe.shape:
            notes.append(f"The image came with a probe of {probe.shape}; it is judged with that of the scan.")
            probe = None
        misfit = None if image is None else judge_image(self.scan, image, probe=probe, progress=self.progress)
        if image is not None and misfit is None:
            notes.append(
                "The image covers nowhere 99 % of what the probe lit, so no frame is recomputed from it."
            )
        patches = None if made.inference is None else made.inference.patch_misfit
        if patches is None:
            notes.append(_NO_PATCHES if made.inference is None else _PATCHES_OF_GROUPS)
        return pass_verdict(
            misfit,
            patches,
            self._constant,
            n_frames=self.scan.n_frames,
            frame_numbers=self.scan.frame_numbers,
            notes=tuple(notes),
        )

    def _consistency(self, made: ArmImage, placed: PlacedImage) -> SelfConsistency | None:
        if made.inference is None or made.inference.half_sets is None:
            return None
        half_sets = made.inference.half_sets
        measured = measure_consistency(
            half_sets.splits(self.window),
            image=placed.values,
            overlap_variance=self._variance_in_window(half_sets, made.image.origin_yx),
            phase_align=self.settings.phase_align,
            frc_sigma=self.settings.frc_sigma,
        )
        if not made.inference.shares_frames:
            return measured
        return replace(measured, notes=(*measured.notes, _SHARED_FRAMES))

    def _variance_in_window(self, half_sets: HalfSets, origin_yx: tuple[float, float] | None) -> np.ndarray:
        """Return the overlap variance (h, w) float32, NaN where it is not known."""
        known = np.isfinite(half_sets.overlap_variance)
        if not known.any():
            return np.full(self.window.shape_yx, np.nan, np.float32)
        spread = PlacedImage(np.nan_to_num(half_sets.overlap_variance), known, origin_yx).in_window(
            self.window
        )
        return np.where(spread.covered, spread.values, np.float32(np.nan))


class _Making:
    """The image of one arm, made once, and the same after its refinement."""

    def __init__(self, arm: Arm, placer: Placer) -> None:
        self._arm, self._placer = arm, placer
        self._made: ArmImage | None = None

    def as_made(self) -> ArmResult:
        """Make the image."""
        arm, placer = self._arm, self._placer
        familiarity = placer.familiarity(arm)
        if familiarity is not None:
            _log(arm.label, familiarity)
        self._made = arm.make_image(placer.scan, placer.settings, placer.progress)
        return replace(placer.result(arm, self._made), familiarity=familiarity)

    def refined(self) -> ArmResult:
        """Improve the image by the frames."""
        if self._made is None:
            raise DataError(f"{self._arm.label} has no image to refine; see why it failed.")
        placer = self._placer
        settings = self._arm.refinement_in(placer.settings.refinement)
        assert settings is not None  # or there would be no such column
        label = refined_label(self._arm.label, settings)
        assert isinstance(self._arm, ModelArm)  # others are not refined
        run = (self._arm.refine or refine)(
            self._made.image,
            placer.scan,
            settings,
            progress=placer.progress,
            label=label,
            checkpoint=_of_sweeps(self._arm.checkpoint),
        )
        self._made = None
        arm = RefinedArm(label=label, run=run, made_of=self._arm.assumptions)
        return placer.result(arm, arm.make_image(placer.scan, placer.settings, placer.progress))


def _log(label: str, familiarity: Familiarity) -> None:
    """Say before anything is predicted whether the model knows such scans."""
    if familiarity.sentence is not None:
        logger.warning("%s may be wrong here: %s", label, familiarity.sentence)
    else:
        logger.info("%s: the scan beside those of its training: %s", label, familiarity.word)


def _of_sweeps(checkpoint: Checkpointing | None) -> SweepCheckpointing | None:
    """Return where the sweeps over an image are kept, beside its shards."""
    if checkpoint is None:
        return None
    folder = Path(checkpoint.folder) / SWEEPS
    # Shards without sweeps are something to go on with.
    return SweepCheckpointing(folder, resume=checkpoint.resume and folder.exists())


def labels_of(arm: Arm, settings: ComparisonSettings) -> list[str]:
    """Return what the images of `arm` are called: as it is made, and refined if that is wanted."""
    wanted = arm.refinement_in(settings.refinement)
    return [arm.label] if wanted is None else [arm.label, refined_label(arm.label, wanted)]


def refined_label(label: str, settings: RefinementSettings) -> str:
    """Return what a refined image is called.

    Parameters
    ----------
    label : str
        What the image is called that it began with.
    settings : RefinementSettings

    Returns
    -------
    str
        "<label> + N sweep(s)".
    """
    return f"{label} + {settings.sweeps} sweep{'' if settings.sweeps == 1 else 's'}"

"""One arm: its image made, put into the common window, registered, and asked how well it agrees with itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from autobatch import Progress
from ptycho.comparison.arms import Arm, ArmImage
from ptycho.comparison.results import ArmResult
from ptycho.comparison.settings import ComparisonSettings
from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.evaluation import SelfConsistency, measure_consistency
from ptycho.image.cropping import Rectangle, object_window
from ptycho.image.placed import PlacedImage
from ptycho.image.registration import Registration, register
from ptycho.reconstruction import HalfSets
from ptycho.refinement import RefinementSettings, refine

logger = logging.getLogger(__name__)

_SHARED_FRAMES = (
    "Groups of even and of odd index share frames, so the half-set FRC and the disagreement flatter."
)


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
        return ArmResult(
            label=arm.label,
            role=arm.role,
            kind=arm.kind,
            image=placed,
            aligned=aligned,
            registration=registration,
            consistency=consistency,
            mean_centred=made.mean_centred if self.settings.metric_convention == "ptychopinn" else None,
            inference=made.inference,
            refinement=made.refinement,
            assumptions=arm.assumptions,
            place_known=made.image.origin_yx is not None or registration is None or registration.plausible,
            seconds=seconds | made.seconds,
        )

    def _registration(self, arm: Arm, image: PlacedImage, placed: PlacedImage) -> Registration | None:
        if self.truth is None or not self._wants_registration(arm, image):
            return None
        # Without a known origin the image may lie anywhere.
        bound = self.settings.max_shift_px if image.origin_yx is not None else float(max(self.truth.shape))
        registration = register(placed.values, self.truth, mask=placed.covered, max_shift_px=bound)
        if not registration.plausible:
            logger.warning("%s was not registered: %s", arm.label, registration.failure)
        return registration

    def _wants_registration(self, arm: Arm, image: PlacedImage) -> bool:
        wanted = self.settings.register
        if image.origin_yx is None and wanted == "none":
            logger.warning(
                "%s does not say where its image lies and registration is switched off: it is put into the middle of "
                "the frame and its figures hold only if it belongs there; drop --skip-registration",
                arm.label,
            )
        return wanted == "all" or (wanted == "finished" and arm.is_finished)

    def _consistency(self, made: ArmImage, placed: PlacedImage) -> SelfConsistency | None:
        if made.inference is None or made.inference.half_sets is None:
            return None
        half_sets = made.inference.half_sets
        even, odd = half_sets.even.in_window(self.window), half_sets.odd.in_window(self.window)
        measured = measure_consistency(
            even.values,
            odd.values,
            image=placed.values,
            mask=even.covered & odd.covered,
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
        placer = self._placer
        self._made = self._arm.make_image(placer.scan, placer.settings, placer.progress)
        return placer.result(self._arm, self._made)

    def refined(self) -> ArmResult:
        """Improve the image by the frames."""
        if self._made is None:
            raise DataError(f"{self._arm.label} has no image to refine; see why it failed.")
        placer = self._placer
        settings = self._arm.refinement_in(placer.settings.refinement)
        assert settings is not None  # or there would be no such column
        label = refined_label(self._arm.label, settings)
        run = refine(self._made.image, placer.scan, settings, progress=placer.progress, label=label)
        self._made = None
        # As large as a stitched image; PtychoPINN's convention takes what it is given for the whole.
        stitched = run.image.in_window(object_window(placer.scan.positions_yx, placer.settings.crop_size))
        image = ArmImage(
            # The light on a pixel is no number of patches.
            image=replace(run.image, coverage=None),
            mean_centred=stitched.values,
            refinement=run,
            seconds={"reconstruct": run.seconds},
        )
        return replace(placer.result(self._arm, image), label=label, role=None, kind="refined")


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

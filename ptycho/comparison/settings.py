"""`ComparisonSettings`: everything that decides the images and the figures of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ptycho._checks import fields
from ptycho.errors import SettingsError
from ptycho.evaluation import METRIC_CONVENTIONS, MetricConvention
from ptycho.image.phase import PHASE_ALIGN_METHODS, PhaseAlignMethod
from ptycho.reconstruction.settings import InferenceSettings
from ptycho.refinement import RefinementSettings

Registered = Literal["all", "finished", "none"]

# The exact placement is known from the positions: what registration finds beyond this is not a residual of
# a network, it is a mismatch.
MAX_RESIDUAL_PX = 8.0


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings(InferenceSettings):
    """How `compare` runs, places and scores its arms: the fields of `InferenceSettings` and these.

    Attributes
    ----------
    self_consistency : bool
        As in `InferenceSettings`, but on by default.
    verdict : bool
        Recompute the frames from every image and from patches, and say how well they explain the measured ones; on
        by default.
    register : {"all", "finished", "none"}
        Which arms are registered to the truth: all, only finished reconstructions, or none.
    max_shift_px : float
        Registration finding a longer shift has failed and is not applied.
    phase_align : {"plane", "mean"}
        What is removed from the phase before it is scored.
    ms_ssim_sigma, frc_sigma : float
        Gaussian smoothing of the amplitudes before MS-SSIM, in pixels, and of the FRC curve, in rings.
    metric_convention : {"standard", "ptychopinn"}
        Textbook metrics of the registered image on covered pixels, or PtychoPINN's own placement and
        definitions (docs/metrics.md), for figures to be put beside its older tables.
    refinement : RefinementSettings, optional
        Also improve the image of every model by the frames: an arm of its own, beside the unrefined one.

    Raises
    ------
    SettingsError
        A field is of another type, misspelt or out of its range.
    """

    self_consistency: bool = True
    verdict: bool = True
    register: Registered = "all"
    max_shift_px: float = MAX_RESIDUAL_PX
    phase_align: PhaseAlignMethod = "plane"
    ms_ssim_sigma: float = 1.0
    frc_sigma: float = 0.0
    metric_convention: MetricConvention = "standard"
    refinement: RefinementSettings | None = None

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        super().__post_init__()
        fields.checked(
            self,
            register=fields.choice(self.register, "register", get_args(Registered)),
            max_shift_px=fields.number(self.max_shift_px, "max_shift_px", above=0),
            phase_align=fields.choice(self.phase_align, "phase_align", PHASE_ALIGN_METHODS),
            ms_ssim_sigma=fields.number(self.ms_ssim_sigma, "ms_ssim_sigma", at_least=0),
            frc_sigma=fields.number(self.frc_sigma, "frc_sigma", at_least=0),
            metric_convention=fields.choice(self.metric_convention, "metric_convention", METRIC_CONVENTIONS),
        )
        if not isinstance(self.refinement, RefinementSettings | None):
            raise SettingsError(
                f"refinement is {self.refinement!r} but must be None or a RefinementSettings; pass "
                "ptycho.refinement.RefinementSettings(sweeps=1)."
            )
